"""A URL of a database: its schema is taken out of it, and its password is never shown."""

from __future__ import annotations

import pytest

from wattseal.core.refusal import Refusal
from wattseal.log.database_url import DatabaseUrl


@pytest.mark.parametrize(
    ("text", "conninfo", "schema"),
    [
        ("postgresql://h/db", "postgresql://h/db", "wattseal"),
        ("postgres://u@h:1/db?schema=plant_1", "postgres://u@h:1/db", "plant_1"),
        ("postgresql:///db?host=/run/pg&schema=a&x=require", "postgresql:///db?host=/run/pg&x=require", "a"),
        ("postgresql://[::1]:5432,h2:5433/db?x=a+b", "postgresql://[::1]:5432,h2:5433/db?x=a+b", "wattseal"),
        ("postgresql://", "postgresql://", "wattseal"),
    ],
)
def test_the_schema_is_ours_and_the_rest_is_libpqs(text: str, conninfo: str, schema: str) -> None:
    url = DatabaseUrl.parse(text)
    assert (url.conninfo, url.schema, str(url), url.has_password) == (conninfo, schema, text, False)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:tiger@h/db?schema=a", "postgresql://u:***@h/db?schema=a"),
        ("postgresql://u:t%40iger:tiger?@h/db", None),
        ("postgresql://:tiger@/db", "postgresql://:***@/db"),
        ("postgresql://h/db?user=u&password=tiger", "postgresql://h/db?user=u&password=***"),
        ("postgresql://h/db?passw%6Frd=tiger&sslpassword=tiger", "postgresql://h/db?passw%6Frd=***&sslpassword=***"),
        ("postgresql://u:ti@tiger@h/db", None),
        ("postgresql://u:ti/tiger@h/db", None),
        ("postgresql://u:tiger/db@h", None),
        ("postgresql://u:tiger", None),
        ("postgresql://u:t?iger@h/db", None),
        ("postgresql://u:tiger@h:port/db", None),
        ("postgresql://u:tiger@h/db?schema=Not", None),
        ("postgresql://u:tiger@h/db#tiger", None),
        ("postgresql://u:tiger\n@h/db", None),
        ("postgresql://u:" + "tiger" * 1_000 + "@h/db", None),
    ],
)
def test_a_password_is_not_shown(text: str, shown: str | None) -> None:
    if shown is None:
        with pytest.raises(Refusal) as refused:
            DatabaseUrl.parse(text)
        assert "iger" not in str(refused.value)
    else:
        url = DatabaseUrl.parse(text)
        assert (str(url), repr(url), url.has_password) == (shown, f"DatabaseUrl({shown!r})", True)
        assert "tiger" in url.conninfo
        assert "tiger" not in url.shown_conninfo


@pytest.mark.parametrize("schema", ["", "A", "a b", "a;", 'a"', "1a", "pg_a", "a" * 64, "a&schema=b", "ä"])
def test_what_is_no_schema(schema: str) -> None:
    with pytest.raises(Refusal, match="schema"):
        DatabaseUrl.parse(f"postgresql://h/db?schema={schema}")
