from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattseal.core.note import MAX_NOTE_BYTES, MAX_SIGNATURES, Note, check_text, open_note
from wattseal.core.note_key import CosignatureV1Signer, Ed25519Signer, SignatureLine, SignatureType, Verifier
from wattseal.core.refusal import Refusal

LOG = Ed25519Signer("log.example", bytes(32))
OTHER = Ed25519Signer("other.example", bytes([1] * 32))
WITNESS = CosignatureV1Signer("witness.example", bytes([2] * 32))
TEXT = "Strom \u2014 gemessen.\n\nNoch eine Zeile.\n".encode()

texts = (
    st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]) | st.just("\n"), max_size=60)
    .map(lambda text: f"{text}\n".encode())
    .filter(bool)
)


def signed(*lines: SignatureLine, text: bytes = TEXT) -> bytes:
    return bytes(Note(text, lines))


NOTE = signed(LOG.sign(TEXT))


# --- Form -------------------------------------------------------------------------------------------------------------


@given(texts, st.lists(st.binary(min_size=1, max_size=80), min_size=1, max_size=5))
def test_notes_are_read_back(text: bytes, signatures: list[bytes]) -> None:
    lines = tuple(SignatureLine(f"key{number}", bytes(4), blob) for number, blob in enumerate(signatures))
    note = Note(text, lines)
    assert Note.parse(bytes(note)) == note


def test_the_form_of_a_note() -> None:
    assert NOTE.startswith(TEXT + b"\n\xe2\x80\x94 log.example ")
    assert NOTE.endswith(b"=\n")
    assert Note.parse(NOTE).text == TEXT


LINE = str(LOG.sign(b"text\n")).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n",
        b"text\n",
        b"text\n\n",
        b"text\n" + LINE,
        b"text" + LINE,
        b"text\n\n" + LINE[:-1],
        b"text\n\n" + LINE + b"\n",
        b"text\n\n" + LINE + b" ",
        b"text\n\n" + LINE.replace(b"\n", b"\r\n"),
        b"text\r\n\r\n" + LINE,
        b"te\xffxt\n\n" + LINE,
        b"te\x00xt\n\n" + LINE,
        b"te\txt\n\n" + LINE,
        b"text\n\n" + LINE.replace(b"\xe2\x80\x94", b"-"),
        b"text\n\n" + LINE.replace(b"\xe2\x80\x94", b"\xe2\x80\x93"),
        b"text\n\n" + LINE.replace(b"\xe2\x80\x94 ", b"\xe2\x80\x94"),
        b"text\n\n" + LINE.replace(b"log.example", b"log.exa+mple"),
        b"text\n\n" + LINE.replace(b"log.example ", b" "),
        b"text\n\n" + LINE.replace(b"log.example", b"log.\xc2\xa0example"),
        b"text\n\n" + LINE.replace(b"log.example", b"log.\xffexample"),
        b"text\n\n" + LINE.replace(b"log.example", b"log.example "),
        b"text\n\n" + LINE.replace(b"=", b""),
        b"text\n\n\xe2\x80\x94 log.example\n",
        b"text\n\n\xe2\x80\x94 log.example \n",
        b"text\n\n\xe2\x80\x94 log.example AAAAAA==\n",
        b"text\n\n\xe2\x80\x94 log.example AAAAAAF=\n",
        b"text\n\n" + LINE + b"rubbish\n",
    ],
)
def test_notes_that_are_refused(data: bytes) -> None:
    with pytest.raises(Refusal):
        Note.parse(data)


def test_how_large_a_note_may_be() -> None:
    text = b"x" * (MAX_NOTE_BYTES - len(LINE) - 2)
    assert len(Note.parse(text + b"\n\n" + LINE).text) == len(text) + 1
    with pytest.raises(Refusal, match="note: larger than 1048576 bytes"):
        Note.parse(text + b"x\n\n" + LINE)
    assert len(Note.parse(b"text\n\n" + LINE * 100).signatures) == 100
    with pytest.raises(Refusal, match="more than 100"):
        Note.parse(b"text\n\n" + LINE * 101)
    line = LOG.sign(TEXT)
    assert len(Note(TEXT, (line,) * 100).signatures) == 100
    check_text(b"x" * (MAX_NOTE_BYTES - 1) + b"\n")
    with pytest.raises(Refusal, match="larger"):
        check_text(b"x" * MAX_NOTE_BYTES + b"\n")


def test_what_no_note_can_be_made_of() -> None:
    line = LOG.sign(TEXT)
    for text in (b"", b"text", b"te\x07xt\n", b"\xff\n", bytes(MAX_NOTE_BYTES) + b"\n"):
        with pytest.raises(Refusal):
            Note(text, (line,))
    for lines in ((), (line,) * (MAX_SIGNATURES + 1)):
        with pytest.raises(Refusal):
            Note(TEXT, lines)


# --- Trust ------------------------------------------------------------------------------------------------------------


def test_known_signatures_are_checked_and_unknown_ones_counted() -> None:
    data = signed(OTHER.sign(TEXT), WITNESS.sign(TEXT, 1_700_000_000), LOG.sign(TEXT))
    opened = open_note(data, [LOG.verifier, WITNESS.verifier])
    assert opened.text == TEXT
    assert [(one.name, one.key_id, one.time) for one in opened.signatures] == [
        ("witness.example", WITNESS.verifier.key_id, 1_700_000_000),
        ("log.example", LOG.verifier.key_id, None),
    ]
    assert opened.unknown == 1
    for trusted in ([], [Ed25519Signer("log.example", bytes([9] * 32)).verifier]):
        with pytest.raises(Refusal, match="none is by a trusted key"):
            open_note(data, trusted)


def test_a_key_is_its_name_and_its_id_together() -> None:
    line = LOG.sign(TEXT)
    renamed = SignatureLine("other.example", line.key_id, bytes(64))
    other_id = SignatureLine(line.name, bytes(4), bytes(64))
    opened = open_note(signed(renamed, other_id, line), [LOG.verifier])
    assert (len(opened.signatures), opened.unknown) == (1, 2)


def test_a_bad_signature_of_a_known_key_refuses_the_note() -> None:
    bad = SignatureLine(LOG.verifier.name, LOG.verifier.key_id, OTHER.sign(TEXT).signature)
    for lines in ((bad, OTHER.sign(TEXT)), (OTHER.sign(TEXT), bad), (LOG.sign(TEXT), bad), (bad, LOG.sign(TEXT))):
        with pytest.raises(Refusal, match=r"log\.example"):
            open_note(signed(*lines), [LOG.verifier, OTHER.verifier])
    assert open_note(signed(bad, OTHER.sign(TEXT)), [OTHER.verifier]).unknown == 1


def test_a_key_may_sign_twice() -> None:
    data = signed(WITNESS.sign(TEXT, 5), WITNESS.sign(TEXT, 6))
    assert [one.time for one in open_note(data, [WITNESS.verifier]).signatures] == [5, 6]


def test_two_keys_of_one_name_and_id_are_ambiguous() -> None:
    twin = Verifier.from_vkey(OTHER.verifier.vkey)
    object.__setattr__(twin, "name", LOG.verifier.name)
    object.__setattr__(twin, "key_id", LOG.verifier.key_id)
    with pytest.raises(Refusal, match="verifiers"):
        open_note(NOTE, [LOG.verifier, twin])
    assert open_note(NOTE, [LOG.verifier, Verifier.from_vkey(LOG.verifier.vkey)]).unknown == 0


@given(st.integers(0, len(NOTE) - 1), st.integers(1, 255))
def test_no_changed_byte_changes_what_is_believed(position: int, change: int) -> None:
    data = bytearray(NOTE)
    data[position] ^= change
    with pytest.raises(Refusal):
        open_note(bytes(data), [LOG.verifier])


# --- Vectors ----------------------------------------------------------------------------------------------------------


def test_checkpoints_that_public_logs_signed(fixtures_dir: Path) -> None:
    """All 44 notes verify under the keys they name, but for the one CT log: type 0x05 is RFC 6962's own signature.

    That type signs a TLS structure and not the text, so it says nothing about a note's other lines. No log that
    Wattseal reads uses it: the key is refused, and its signature counts as one of an unknown key.
    """
    path = fixtures_dir / "tlog" / "checkpoints" / "signed_checkpoints_verified.json"
    cases = json.loads(path.read_bytes())
    kinds: dict[int, int] = {}
    for case in cases:
        data = case["note"].encode()
        note = Note.parse(data)
        assert bytes(note) == data
        for named in case["verified"]:
            kinds[named["type"]] = kinds.get(named["type"], 0) + 1
            if named["type"] == 0x05:
                with pytest.raises(Refusal, match="not supported"):
                    Verifier.from_vkey(named["vkey"])
                with pytest.raises(Refusal, match="none is by a trusted key"):
                    open_note(data, [])
                continue
            verifier = Verifier.from_vkey(named["vkey"])
            assert verifier.vkey == named["vkey"]
            assert (verifier.name, verifier.key_id.hex()) == (named["name"], named["kid"])
            opened = open_note(data, [verifier])
            assert {one.verifier for one in opened.signatures} == {verifier}
            assert len(opened.signatures) + opened.unknown == len(note.signatures)
            assert all(
                (one.time is None) == (verifier.kind != SignatureType.COSIGNATURE_V1) for one in opened.signatures
            )
            with pytest.raises(Refusal):
                open_note(data.replace(b"\n", b"!\n", 1), [verifier])
    assert len(cases) == 44
    assert kinds.keys() == {1, 2, 4, 5}
    assert kinds[5] == 1
