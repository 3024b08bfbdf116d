"""A note key in a file of its own, readable by its owner alone."""

from __future__ import annotations

import secrets
from pathlib import Path

from wattseal.core.note_key import SEED_BYTES, Ed25519Signer
from wattseal.log.durable import make_file

_OWNER_ONLY = 0o600


def make_key_file(path: Path, name: str) -> None:
    """Make a new key of that name, durably; FileExistsError where a file is, since no key may be lost."""
    text = Ed25519Signer(name, secrets.token_bytes(SEED_BYTES)).skey + "\n"
    make_file(path, text.encode("ascii"), _OWNER_ONLY)


def read_key_file(path: Path) -> Ed25519Signer:
    """The key in a file; FileNotFoundError, or Refusal for what is no key."""
    try:
        return Ed25519Signer.from_skey(path.read_text(encoding="utf-8").strip())
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no key at {path}: is this a site's folder?") from None
