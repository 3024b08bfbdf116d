"""Transparency-log proofs (C2SP tlog-proof): an index, an inclusion path and a checkpoint in one text file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from wattseal.core.checkpoint import OpenedCheckpoint, decode_decimal, decode_hash
from wattseal.core.merkle import HASH_BYTES, MAX_SIZE, check_hashes, leaf_hash, verify_inclusion
from wattseal.core.note import MAX_NOTE_BYTES
from wattseal.core.note_key import decode_base64, encode_base64
from wattseal.core.policy import Policy
from wattseal.core.refusal import Refusal

MAX_PATH: Final = 63
MAX_EXTRA_BYTES: Final = 2**16

_HEADER: Final = "c2sp.org/tlog-proof@v1"
_EXTRA: Final = "extra "
_INDEX: Final = "index "
_MAX_HEAD_BYTES: Final = 2**17
_HASH_CHARS: Final = len(encode_base64(bytes(HASH_BYTES)))


@dataclass(frozen=True, slots=True)
class TlogProof:
    """That the entry number `index` is in the log of a checkpoint, which is kept as it was received.

    `path` goes from the leaf's sibling up. `extra` is whatever the application put there; nothing authenticates it.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.index < MAX_SIZE:
            raise Refusal("proof.index", "out of range")
        if len(self.path) > MAX_PATH:
            raise Refusal("proof.path", f"more than {MAX_PATH} hashes")
        check_hashes("proof.path", self.path)
        if not 0 < len(self.checkpoint) <= MAX_NOTE_BYTES:
            raise Refusal("proof.checkpoint", f"a checkpoint has 1 to {MAX_NOTE_BYTES} bytes")
        if self.extra is not None and not 0 < len(self.extra) <= MAX_EXTRA_BYTES:
            raise Refusal("proof.extra", f"extra data has 1 to {MAX_EXTRA_BYTES} bytes, or is left out")

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a proof file. Refuses all but the exact form; the checkpoint is only cut out, see `verify`."""
        if len(data) > _MAX_HEAD_BYTES + MAX_NOTE_BYTES:
            raise Refusal("proof", f"larger than {_MAX_HEAD_BYTES + MAX_NOTE_BYTES} bytes")
        head, separator, checkpoint = data.partition(b"\n\n")
        if not separator or len(head) > _MAX_HEAD_BYTES:
            raise Refusal("proof", "no empty line between the inclusion path and the checkpoint")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise Refusal("proof", "a character that is not ASCII before the checkpoint") from None
        if lines.pop(0) != _HEADER:
            raise Refusal("proof", f"does not begin with the line {_HEADER}")
        extra = None
        if lines and lines[0].startswith(_EXTRA):
            extra = decode_base64("proof.extra", lines.pop(0).removeprefix(_EXTRA))
        if not lines or not lines[0].startswith(_INDEX):
            raise Refusal("proof.index", "no index line")
        index = decode_decimal("proof.index", lines.pop(0).removeprefix(_INDEX))
        if len(lines) > MAX_PATH or any(len(line) != _HASH_CHARS for line in lines):
            raise Refusal("proof.path", f"at most {MAX_PATH} lines of one hash each")
        return cls(index, tuple(decode_hash("proof.path", line) for line in lines), checkpoint, extra)

    def __bytes__(self) -> bytes:
        lines = [_HEADER]
        if self.extra is not None:
            lines.append(_EXTRA + encode_base64(self.extra))
        lines.append(f"{_INDEX}{self.index}")
        lines.extend(map(encode_base64, self.path))
        return "\n".join(lines).encode("ascii") + b"\n\n" + self.checkpoint


def verify(proof: TlogProof, entry: bytes, policy: Policy) -> OpenedCheckpoint:
    """Return the checkpoint under which the policy accepts that the log holds this entry at the proof's index.

    Refuses a checkpoint that the policy does not accept; raises ProofMismatch if the entry is not there.
    """
    return verify_leaf(proof, leaf_hash(entry), policy)


def verify_leaf(proof: TlogProof, leaf: bytes, policy: Policy) -> OpenedCheckpoint:
    """Verify, as `verify` does, for whoever holds the entry's leaf and not the entry."""
    opened = policy.open(proof.checkpoint)
    verify_inclusion(leaf, proof.index, opened.checkpoint.size, proof.path, opened.checkpoint.root)
    return opened
