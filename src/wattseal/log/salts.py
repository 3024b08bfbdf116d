"""The salts of stored entries, from the secrets of the store (docs/spec/log.md §1.1)."""

from __future__ import annotations

from collections.abc import Iterable

from wattseal.core.entry import PUBLIC, Salts, Slots, derive_salts, entry_hash
from wattseal.log.port import EntryRow, SecretRow

NO_SECRET = 0
"""The secret_no of public entries."""


class SecretErased(LookupError):
    """The secret of an entry is not in the store, so its salts cannot be known."""


class SaltSource:
    """Makes salts and 32-byte entries out of rows."""

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Iterable[SecretRow]) -> None:
        self._secrets = {row.secret_no: row.secret for row in secrets}

    def salts(self, row: EntryRow) -> Salts:
        """The salts of a row. Raises SecretErased, and Refusal for an id or secret of a wrong length."""
        if row.secret_no == NO_SECRET:
            return PUBLIC
        secret = self._secrets.get(row.secret_no)
        if not secret:
            raise SecretErased(f"entry {row.idx}: secret {row.secret_no} is not in the store")
        return derive_salts(secret, row.entry_id)

    def entry(self, row: EntryRow) -> bytes:
        """The 32 bytes that the log commits to, from the row alone; raises as `salts` does."""
        return entry_hash(self.salts(row), row.body, Slots(row.start_slot, row.end_slot))
