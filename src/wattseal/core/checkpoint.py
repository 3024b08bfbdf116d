"""Checkpoints (C2SP tlog-checkpoint): the signed head of a log, and who cosigned it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from wattseal.core.merkle import EMPTY_ROOT, HASH_BYTES, check_hashes, check_size
from wattseal.core.note import VerifiedSignature, check_text, open_note
from wattseal.core.note_key import SignatureType, Verifier, decode_base64, encode_base64
from wattseal.core.refusal import Refusal

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


def decode_decimal(where: str, text: str) -> int:
    """Read a number of at most 19 digits, without sign and without leading zeros."""
    if _DECIMAL.fullmatch(text) is None:
        raise Refusal(where, "not a decimal number without leading zeros")
    return int(text)


def decode_hash(where: str, text: str) -> bytes:
    """Read the base64 of a SHA-256 hash."""
    value = decode_base64(where, text)
    if len(value) != HASH_BYTES:
        raise Refusal(where, "a SHA-256 hash is 32 bytes")
    return value


def _check_line(where: str, line: str) -> None:
    if not line or "\n" in line:
        raise Refusal(where, "one line, not empty")
    check_text(f"{line}\n".encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's head: its name, its number of leaves, and the Merkle root over them.

    `extensions` are further lines that the log signed; they have no meaning here. Refuses what has no exact text form.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_size("checkpoint.size", self.size)
        check_hashes("checkpoint.root", (self.root,))
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise Refusal("checkpoint.root", "not the root of an empty tree")
        _check_line("checkpoint.origin", self.origin)
        for line in self.extensions:
            _check_line("checkpoint.extensions", line)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a checkpoint's body, which is the text of the signed note. Refuses all but the exact form."""
        check_text(body)
        lines = body.decode("utf-8").split("\n")[:-1]
        if len(lines) < 3:
            raise Refusal("checkpoint", "a checkpoint has an origin, a size and a root")
        origin, size, root, *extensions = lines
        return cls(
            origin,
            decode_decimal("checkpoint.size", size),
            decode_hash("checkpoint.root", root),
            tuple(extensions),
        )

    def body(self) -> bytes:
        """The text that is signed."""
        lines = (self.origin, str(self.size), encode_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines).encode("utf-8")

    def digest(self) -> bytes:
        """SHA-256 of the body: what is anchored. Signatures stay outside, so that later ones do not break it."""
        return sha256(self.body()).digest()


@dataclass(frozen=True, slots=True)
class OpenedCheckpoint:
    """A checkpoint whose log's signature, and every signature of a known witness on it, was checked.

    `log` is the key that signed; `cosignatures` stand in the order of the note, each with its time in Unix seconds;
    `unknown` counts the lines of keys that nobody trusts.
    """

    checkpoint: Checkpoint
    log: Verifier
    cosignatures: tuple[VerifiedSignature, ...]
    unknown: int


def open_checkpoint(data: bytes, log: Verifier, witnesses: Iterable[Verifier] = ()) -> OpenedCheckpoint:
    """Check a checkpoint of one log.

    Refuses it unless that log signed it and its origin is the name of the log's key, and if a signature of a known key
    is bad. Whether the cosignatures are enough is for a policy to say.
    """
    return open_checkpoint_of(data, (log,), witnesses)


def open_checkpoint_of(data: bytes, logs: Sequence[Verifier], witnesses: Iterable[Verifier] = ()) -> OpenedCheckpoint:
    """Check a checkpoint of any of these logs, as open_checkpoint does for one."""
    witnesses = tuple(witnesses)
    if any(log.kind is SignatureType.COSIGNATURE_V1 for log in logs):
        raise Refusal("log", "a witness key is no log key")
    if any(witness.kind is not SignatureType.COSIGNATURE_V1 for witness in witnesses):
        raise Refusal("witnesses", "a log key is no witness key")
    note = open_note(data, (*logs, *witnesses))
    checkpoint = Checkpoint.parse(note.text)
    signers = [signature.verifier for signature in note.signatures if signature.time is None]
    if not signers:
        raise Refusal("note.signatures", "none is by a trusted log")
    named = [signer for signer in signers if signer.name == checkpoint.origin]
    if not named:
        raise Refusal("checkpoint.origin", f"the checkpoint is not of the log {signers[0].name}")
    cosignatures = tuple(signature for signature in note.signatures if signature.time is not None)
    return OpenedCheckpoint(checkpoint, named[0], cosignatures, note.unknown)
