"""Which schema a store has, against the one that this version of Wattseal reads; the words are every store's."""

from __future__ import annotations

from collections.abc import Sequence

from wattseal.log import queries
from wattseal.log.port import StoreUnreadable


def said_version(row: Sequence[object] | None, place: object) -> str:
    """The revision in the answer to queries.REVISION about the store at `place`. Raises StoreUnreadable."""
    if row is None:
        raise StoreUnreadable(f"{place} does not say which schema it has: it is damaged")
    return str(row[0])


def check_version(revision: str, place: object) -> None:
    """Raise StoreUnreadable unless the store at `place`, of that revision, is one that this version reads."""
    if revision < queries.VERSION:
        raise StoreUnreadable(
            f"{place} has schema {revision}, older than {queries.VERSION}, which this version of Wattseal needs: "
            "make a backup, then run wattseal migrate"
        )
    if revision > queries.VERSION:
        raise StoreUnreadable(
            f"{place} has schema {revision}, newer than {queries.VERSION}, the newest that this version of Wattseal "
            "knows: install the version that wrote it"
        )
