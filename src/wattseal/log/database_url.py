"""Where a log lies on a PostgreSQL server: a URL as libpq has it, and the schema that holds the log (docs/adr/0012).

    postgresql://user@host:5432/database?schema=plant
A password may stand in it, so it is never shown whole: `str` and `repr` leave the password out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import unquote

from wattseal.core.refusal import Refusal

SCHEMES: Final = ("postgresql", "postgres")
DEFAULT_SCHEMA: Final = "wattseal"

_HIDDEN: Final = "***"
_SECRETS: Final = frozenset({"password", "sslpassword"})
# Lower case, so that it means the same with and without quotation marks; 63 bytes are PostgreSQL's limit.
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}", re.ASCII)
_HOST: Final = r"(?:\[[0-9A-Fa-f:.%]+\]|[^:@/\[\],]*)(?::[0-9]*)?"
_HEAD: Final = re.compile(rf"[a-z]+://(?:[^:@/]*(?::[^@/]*)?@)?{_HOST}(?:,{_HOST})*(?:/[^@/]*)?", re.ASCII)
_MAX_CHARACTERS: Final = 4_096


@dataclass(frozen=True, slots=True, repr=False)
class DatabaseUrl:
    """A place for a log. `conninfo` goes to libpq; it and `text` may hold a password."""

    conninfo: str
    schema: str
    text: str
    """As it was given."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Refuses what is no such URL, without repeating it. The rest of it is libpq's to judge."""
        if len(text) > _MAX_CHARACTERS:
            raise Refusal("database", f"has more than {_MAX_CHARACTERS} characters")
        if not is_database_url(text) or not text.isprintable() or "#" in text:
            raise Refusal("database", "is not a URL like postgresql://user@host/database")
        head, options = _split(text)
        if not _HEAD.fullmatch(head):
            # Else a part of the password would be taken for a host, and shown.
            raise Refusal("database", "is not postgresql://user:password@host:port/database with %40 for @, %2F for /")
        schemas = [value for name, value in options if name == "schema"] or [DEFAULT_SCHEMA]
        if len(schemas) > 1 or not _SCHEMA.fullmatch(schemas[0]) or schemas[0].startswith("pg_"):
            raise Refusal("database", "schema must be one name of a-z, 0-9 and _, up to 63 characters, not pg_…")
        return cls(_join(head, [option for option in options if option[0] != "schema"]), schemas[0], text)

    @property
    def has_password(self) -> bool:
        """Whether whoever reads the text could use the database."""
        return str(self) != self.text

    @property
    def shown_conninfo(self) -> str:
        """What other programs of PostgreSQL take, without the password."""
        return _shown(self.conninfo)

    def __str__(self) -> str:
        """Without the password."""
        return _shown(self.text)

    def __repr__(self) -> str:
        return f"DatabaseUrl({str(self)!r})"


def _shown(text: str) -> str:
    head, options = _split(text)
    scheme, rest = head.split("://", 1)
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    shown = f"{scheme}://{user}{colon and ':' + _HIDDEN}{at}{place}"
    return _join(shown, [(name, _HIDDEN if unquote(name) in _SECRETS else value) for name, value in options])


def _split(text: str) -> tuple[str, list[tuple[str, str]]]:
    """What stands before the options, and these as they are written: libpq does not decode as HTML forms do."""
    head, _, query = text.partition("?")
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    return head, [(name, value) for name, _, value in pairs]


def _join(head: str, options: list[tuple[str, str]]) -> str:
    return head + "?" * bool(options) + "&".join(f"{name}={value}" for name, value in options)


def is_database_url(text: str) -> bool:
    """Whether a setting means a server, and not a file."""
    return text.startswith(tuple(f"{scheme}://" for scheme in SCHEMES))
