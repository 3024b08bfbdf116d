"""Signed notes (C2SP signed-note): a text, an empty line, and signature lines of known and unknown keys."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from wattseal.core.note_key import KEY_ID_BYTES, SignatureLine, Verifier, check_name, decode_base64
from wattseal.core.refusal import Refusal

MAX_NOTE_BYTES: Final = 2**20
MAX_SIGNATURES: Final = 100

_LINE_START: Final = "\u2014 "
# All of ASCII below the space but the newline.
_CONTROL: Final = re.compile(rb"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True, slots=True)
class Note:
    """A note as it is written, its signatures not yet checked. `text` is UTF-8 and ends with a newline."""

    text: bytes
    signatures: tuple[SignatureLine, ...]

    def __post_init__(self) -> None:
        check_text(self.text)
        if not 1 <= len(self.signatures) <= MAX_SIGNATURES:
            raise Refusal("note.signatures", f"a note has 1 to {MAX_SIGNATURES} signatures")

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a note. Refuses all but the exact form, notes above 1 MiB and more than 100 signatures."""
        if len(data) > MAX_NOTE_BYTES:
            raise Refusal("note", f"larger than {MAX_NOTE_BYTES} bytes")
        text, separator, tail = data.rpartition(b"\n\n")
        if not separator or not tail.endswith(b"\n"):
            raise Refusal("note", "not a text, an empty line and signature lines, each ending with a newline")
        if tail.count(b"\n") > MAX_SIGNATURES:
            raise Refusal("note.signatures", f"more than {MAX_SIGNATURES}")
        try:
            lines = tail.decode("utf-8").split("\n")[:-1]
        except UnicodeDecodeError:
            raise Refusal("note.signatures", "not valid UTF-8") from None
        return cls(text + b"\n", tuple(map(_parse_line, lines)))

    def __bytes__(self) -> bytes:
        return self.text + b"\n" + "".join(map(str, self.signatures)).encode("utf-8")


def check_text(text: bytes) -> None:
    """Refuse what cannot be a note's text."""
    if len(text) > MAX_NOTE_BYTES:
        raise Refusal("note.text", f"larger than {MAX_NOTE_BYTES} bytes")
    if not text.endswith(b"\n"):
        raise Refusal("note.text", "does not end with a newline")
    if _CONTROL.search(text):
        raise Refusal("note.text", "contains a control character")
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal("note.text", "not valid UTF-8") from None


def _parse_line(line: str) -> SignatureLine:
    name, separator, blob = line.removeprefix(_LINE_START).partition(" ")
    if not line.startswith(_LINE_START) or not separator:
        raise Refusal("note.signatures", "a line is an em dash, a name and base64, with one space between each")
    check_name(name)
    data = decode_base64("note.signatures", blob)
    if len(data) <= KEY_ID_BYTES:
        raise Refusal("note.signatures", "a signature is missing after its key ID")
    return SignatureLine(name, data[:KEY_ID_BYTES], data[KEY_ID_BYTES:])


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """A signature that was checked with `verifier`. `time` is in Unix seconds, for cosignatures only."""

    verifier: Verifier
    time: int | None

    @property
    def name(self) -> str:
        """The key's name."""
        return self.verifier.name

    @property
    def key_id(self) -> bytes:
        """The key's ID, 4 bytes."""
        return self.verifier.key_id


@dataclass(frozen=True, slots=True)
class OpenedNote:
    """A note of which at least one signature is known and all known ones are good.

    `signatures` stand in the order of the note; a key may have signed twice. `unknown` counts the lines of keys that
    were not among the verifiers: nothing is known about those.
    """

    text: bytes
    signatures: tuple[VerifiedSignature, ...]
    unknown: int


def open_note(data: bytes, verifiers: Iterable[Verifier]) -> OpenedNote:
    """Check a note with the keys that are trusted.

    Lines of other keys are ignored. Refuses a note that is malformed, that has a bad signature of a trusted key, or
    that has no signature of any.
    """
    known: dict[tuple[str, bytes], Verifier] = {}
    for verifier in verifiers:
        if known.setdefault((verifier.name, verifier.key_id), verifier) != verifier:
            raise Refusal("verifiers", f"two keys share the name {verifier.name} and a key ID")
    note = Note.parse(data)
    verified = []
    for line in note.signatures:
        signer = known.get((line.name, line.key_id))
        if signer is not None:
            verified.append(VerifiedSignature(signer, signer.verify(note.text, line.signature)))
    if not verified:
        raise Refusal("note.signatures", "none is by a trusted key")
    return OpenedNote(note.text, tuple(verified), len(note.signatures) - len(verified))
