"""Access tokens: who may do what, and which meters they may see. Only a token's SHA-256 is ever stored."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from wattseal.core.refusal import Refusal
from wattseal.core.units import identifier
from wattseal.log.port import TokenRow

SCOPES: Final = ("operator", "tenant", "auditor", "enrol", "report")
"""operator: everything. auditor: reads everything. tenant: reads its meters. enrol: registers devices and meters.
report: sends intervals as JSON. The last three are limited to the meters of the token's subject, if it names some."""

_PREFIX: Final = "wattseal_"
_TOKEN = re.compile(_PREFIX + r"[A-Za-z0-9_-]{43}", re.ASCII)
_MAX_LABEL: Final = 100
_MAX_PREFIXES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the scopes and meter path prefixes of a token. Nobody in particular has neither."""

    label: str = ""
    scopes: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()

    @property
    def sees_everything(self) -> bool:
        """Whether every record may be read."""
        return not self.scopes.isdisjoint(("operator", "auditor"))

    def covers(self, path: str) -> bool:
        """Whether a meter path (site/device/meter, or a part of one) is within the subject.

        Prefixes end between parts: "park-1" covers "park-1/inverter/m1" and not "park-10/inverter/m1".
        """
        return any(path == prefix or path.startswith(prefix + "/") for prefix in self.prefixes)

    def sees(self, path: str) -> bool:
        """Whether the records of a meter that is not disclosed may be read."""
        return self.sees_everything or ("tenant" in self.scopes and self.covers(path))

    def may(self, scope: str, path: str) -> bool:
        """Whether the caller may use a scope on a meter, device or site. Without a subject it reaches every one."""
        return "operator" in self.scopes or (scope in self.scopes and (not self.prefixes or self.covers(path)))


NOBODY: Final = Caller()


class TokenError(Exception):
    """A token that does not count; the message may be shown."""


def mint(
    label: str, scopes: Iterable[str], subject: Iterable[str], now: int, expires_s: int | None = None
) -> tuple[str, TokenRow]:
    """A new token, to be shown once, and the row that is stored of it; Refusal for what a token cannot have."""
    chosen = tuple(dict.fromkeys(scopes))
    prefixes = tuple(dict.fromkeys(subject))
    if not label.strip() or len(label) > _MAX_LABEL or not label.isprintable():
        raise Refusal("label", f"must be 1 to {_MAX_LABEL} characters that can be shown")
    if not chosen or not set(chosen) <= set(SCOPES):
        raise Refusal("scopes", f"must be some of {', '.join(SCOPES)}")
    if len(prefixes) > _MAX_PREFIXES:
        raise Refusal("subject", f"at most {_MAX_PREFIXES} prefixes")
    for prefix in prefixes:
        parts = prefix.split("/")
        if len(parts) > 3:
            raise Refusal("subject", "a prefix is site, site/device or site/device/meter")
        for part in parts:
            identifier(part, "subject")
    if "tenant" in chosen and not prefixes:
        raise Refusal("subject", "must name the meters that a tenant may see")
    if expires_s is not None and expires_s <= now:
        raise Refusal("expires", "lies in the past")
    text = _PREFIX + secrets.token_urlsafe(32)
    row = TokenRow(_digest(text), label, " ".join(chosen), "\n".join(prefixes), now, expires_s, None)
    return text, row


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


class TokenBook:
    """All tokens in memory, since one process serves a store and every change goes through it."""

    def __init__(self, rows: Iterable[TokenRow]) -> None:
        self.replace(rows)

    def replace(self, rows: Iterable[TokenRow]) -> None:
        """Take the tokens as they are stored now."""
        self._rows = {row.token_hash: row for row in rows}

    def caller(self, text: str, now: int) -> Caller:
        """Who presents a token; TokenError if it is none, has expired, or was revoked."""
        if not _TOKEN.fullmatch(text):
            raise TokenError("This is no token of this kind of server.")
        # The hash is looked up, not the token, so the time that this takes tells nothing about other tokens.
        digest = _digest(text)
        row = self._rows.get(digest)
        if row is None or not hmac.compare_digest(row.token_hash, digest):
            raise TokenError("This token is not known here.")
        if row.revoked_s is not None and row.revoked_s <= now:
            raise TokenError("This token was revoked.")
        if row.expires_s is not None and row.expires_s <= now:
            raise TokenError("This token has expired.")
        return Caller(row.label, frozenset(row.scopes.split()), tuple(row.subject.split("\n")) if row.subject else ())
