from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattseal.core.checkpoint import Checkpoint, decode_decimal, decode_hash, open_checkpoint
from wattseal.core.merkle import EMPTY_ROOT, leaf_hash, verify_consistency, verify_inclusion
from wattseal.core.note import Note, open_note
from wattseal.core.note_key import CosignatureV1Signer, Ed25519Signer, SignatureLine, SignatureType, Verifier
from wattseal.core.refusal import Refusal

LOG = Ed25519Signer("log.example/energy", bytes(32))
OTHER = Ed25519Signer("other.example", bytes([1] * 32))
W1 = CosignatureV1Signer("witness.example/w1", bytes([2] * 32))
W2 = CosignatureV1Signer("witness.example/w2", bytes([3] * 32))
ROOT = bytes(range(32))
ROOT_TEXT = base64.b64encode(ROOT).decode()
HEAD = Checkpoint("log.example/energy", 42, ROOT)

lines = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]), min_size=1, max_size=20)
heads = st.builds(
    Checkpoint,
    lines,
    st.integers(1, 2**63 - 1),
    st.binary(min_size=32, max_size=32),
    st.lists(lines, max_size=3).map(tuple),
)


def signed(head: Checkpoint, *signatures: SignatureLine) -> bytes:
    return bytes(Note(head.body(), signatures))


# --- Form -------------------------------------------------------------------------------------------------------------


@given(heads)
def test_checkpoints_are_read_back(head: Checkpoint) -> None:
    assert Checkpoint.parse(head.body()) == head
    assert head.digest() == sha256(head.body()).digest()


def test_the_form_of_a_checkpoint() -> None:
    assert HEAD.body() == f"log.example/energy\n42\n{ROOT_TEXT}\n".encode()
    extended = Checkpoint(HEAD.origin, 0, EMPTY_ROOT, ("one", "two words"))
    assert extended.body().endswith(b"\none\ntwo words\n")
    assert Checkpoint.parse(extended.body()) == extended


@pytest.mark.parametrize(
    "body",
    [
        "",
        "origin\n",
        "origin\n1\n",
        f"origin\n1\n{ROOT_TEXT}",
        f"\n1\n{ROOT_TEXT}\n",
        f"origin\n\n{ROOT_TEXT}\n",
        f"origin\n01\n{ROOT_TEXT}\n",
        f"origin\n+1\n{ROOT_TEXT}\n",
        f"origin\n-1\n{ROOT_TEXT}\n",
        f"origin\n 1\n{ROOT_TEXT}\n",
        f"origin\n1_0\n{ROOT_TEXT}\n",
        f"origin\n\u0661\n{ROOT_TEXT}\n",
        f"origin\n1.0\n{ROOT_TEXT}\n",
        f"origin\n9223372036854775808\n{ROOT_TEXT}\n",
        f"origin\n18446744073709551616\n{ROOT_TEXT}\n",
        f"origin\n0\n{ROOT_TEXT}\n",
        f"origin\n1\n{ROOT_TEXT[:-4]}\n",
        f"origin\n1\n{ROOT_TEXT}AAAA\n",
        f"origin\n1\n{ROOT_TEXT} \n",
        f"origin\n1\n{ROOT_TEXT.rstrip('=')}\n",
        f"origin\n1\n{ROOT.hex()}\n",
        f"origin\n1\n{ROOT_TEXT}\n\n",
        f"origin\n1\n{ROOT_TEXT}\ncut of",
        f"origin\n1\n{ROOT_TEXT}\n\nextension\n",
        f"origin\r\n1\r\n{ROOT_TEXT}\r\n",
        f"ori\tgin\n1\n{ROOT_TEXT}\n",
    ],
)
def test_checkpoints_that_are_refused(body: str) -> None:
    with pytest.raises(Refusal):
        Checkpoint.parse(body.encode())
    with pytest.raises(Refusal):
        Checkpoint.parse(body.encode() + b"\xff\n")


def test_what_no_checkpoint_can_be_made_of() -> None:
    bad: list[tuple[Any, ...]] = [
        ("", 1, ROOT),
        ("two\nlines", 1, ROOT),
        ("a\x07bell", 1, ROOT),
        ("a\ud800surrogate", 1, ROOT),
        ("origin", -1, ROOT),
        ("origin", 2**63, ROOT),
        ("origin", 1, ROOT[:-1]),
        ("origin", 0, ROOT),
        ("origin", 1, ROOT, ("",)),
        ("origin", 1, ROOT, ("good", "not\ngood")),
    ]
    for fields in bad:
        with pytest.raises(Refusal):
            Checkpoint(*fields)


def test_numbers_and_hashes_name_where_they_stand() -> None:
    assert decode_decimal("here", "9223372036854775807") == 2**63 - 1
    assert decode_hash("here", ROOT_TEXT) == ROOT
    for text in ("", "1" * 20, "0x1"):
        with pytest.raises(Refusal, match="here"):
            decode_decimal("here", text)
    with pytest.raises(Refusal, match="here"):
        decode_hash("here", "AAAA")


# --- Trust ------------------------------------------------------------------------------------------------------------


def test_opening_a_cosigned_checkpoint() -> None:
    body = HEAD.body()
    data = signed(HEAD, W2.sign(body, 7), LOG.sign(body), OTHER.sign(body), W1.sign(body, 5))
    opened = open_checkpoint(data, LOG.verifier, [W1.verifier, W2.verifier])
    assert opened.checkpoint == HEAD
    assert opened.log == LOG.verifier
    assert [(one.verifier, one.time) for one in opened.cosignatures] == [(W2.verifier, 7), (W1.verifier, 5)]
    assert opened.unknown == 1
    alone = open_checkpoint(data, LOG.verifier)
    assert (alone.cosignatures, alone.unknown) == ((), 3)


def test_later_cosignatures_leave_the_anchored_digest_alone() -> None:
    body = HEAD.body()
    early = open_checkpoint(signed(HEAD, LOG.sign(body)), LOG.verifier)
    late = open_checkpoint(signed(HEAD, LOG.sign(body), W1.sign(body, 9)), LOG.verifier, [W1.verifier])
    assert early.checkpoint.digest() == late.checkpoint.digest() == sha256(body).digest()


def test_checkpoints_of_somebody_else_are_refused() -> None:
    body = HEAD.body()
    with pytest.raises(Refusal, match="trusted log"):
        open_checkpoint(signed(HEAD, W1.sign(body, 1)), LOG.verifier, [W1.verifier])
    with pytest.raises(Refusal, match="origin"):
        open_checkpoint(signed(HEAD, OTHER.sign(body)), OTHER.verifier)
    bad = SignatureLine(W1.verifier.name, W1.verifier.key_id, W2.sign(body, 1).signature)
    with pytest.raises(Refusal, match=r"witness\.example/w1"):
        open_checkpoint(signed(HEAD, LOG.sign(body), bad), LOG.verifier, [W1.verifier, W2.verifier])
    text = b"not a checkpoint\n"
    with pytest.raises(Refusal):
        open_checkpoint(bytes(Note(text, (LOG.sign(text),))), LOG.verifier)


def test_log_and_witness_keys_do_not_change_places() -> None:
    data = signed(HEAD, LOG.sign(HEAD.body()))
    with pytest.raises(Refusal, match="no log key"):
        open_checkpoint(data, W1.verifier)
    with pytest.raises(Refusal, match="no witness key"):
        open_checkpoint(data, LOG.verifier, [OTHER.verifier])


# --- Vectors ----------------------------------------------------------------------------------------------------------


def test_checkpoints_that_public_logs_signed(fixtures_dir: Path) -> None:
    """Every body is in the exact form. A log opens if its key bears its origin's name, which older logs did not do."""
    path = fixtures_dir / "tlog" / "checkpoints" / "signed_checkpoints_verified.json"
    opened, misnamed = 0, set()
    for case in json.loads(path.read_bytes()):
        note = Note.parse(case["note"].encode())
        head = Checkpoint.parse(note.text)
        assert head.body() == note.text
        for named in case["verified"]:
            if named["type"] not in (0x01, 0x02):
                continue
            verifier = Verifier.from_vkey(named["vkey"])
            if head.origin == verifier.name:
                assert open_checkpoint(case["note"].encode(), verifier).checkpoint == head
                opened += 1
                continue
            with pytest.raises(Refusal, match="origin"):
                open_checkpoint(case["note"].encode(), verifier)
            misnamed.add(verifier.name)
    assert opened >= 16
    assert misnamed == {"sum.golang.org", "rekor.sigstore.dev", "pixel_transparency_log"}


def test_rekor_v2_records(fixtures_dir: Path) -> None:
    """The file says of each record whether inclusion holds and which keys' signatures verify; so do we."""
    path = fixtures_dir / "tlog" / "rekor_v2" / "inclusion_and_checkpoints.json"
    records = json.loads(path.read_bytes())
    good_lines, broken, nobodys = 0, 0, 0
    for record in records:
        leaf = leaf_hash(base64.b64decode(record["leaf_b64"]))
        hashes = list(map(base64.b64decode, record["hashes"]))
        root = base64.b64decode(record["root_b64"])
        verify_inclusion(leaf, record["index"], record["tree_size"], hashes, root)
        assert record["inclusion_ok"] is True
        data = record["checkpoint"].encode()
        for vkey, good in record["signatures"].items():
            verifier = Verifier.from_vkey(vkey)
            if not good:
                with pytest.raises(Refusal, match="does not fit"):
                    open_note(data, [verifier])
                broken += 1
                continue
            assert open_note(data, [verifier]).signatures[0].verifier == verifier
            good_lines += 1
        keys = [Verifier.from_vkey(vkey) for vkey, good in record["signatures"].items() if good]
        logs = [key for key in keys if key.kind is not SignatureType.COSIGNATURE_V1]
        if not logs:
            nobodys += not record["signatures"]
            continue
        witnesses = [key for key in keys if key.kind is SignatureType.COSIGNATURE_V1]
        opened = open_checkpoint(data, logs[0], witnesses)
        assert (opened.checkpoint.size, opened.checkpoint.root) == (record["tree_size"], root)
        assert {one.verifier for one in opened.cosignatures} == set(witnesses)
    assert len(records) == 20
    assert (good_lines, broken, nobodys) == (18, 3, 2)


def test_witness_transcripts(fixtures_dir: Path) -> None:
    """Requests to a witness, in order, with the status it gave: the status follows from what is verified here."""
    statuses = []
    for path in sorted((fixtures_dir / "tlog" / "witness_transcripts").glob("*.json")):
        transcript = json.loads(path.read_bytes())
        key = transcript["sigsum_log_ed25519_hex"]
        seen: Checkpoint | None = None
        for request in transcript["requests_in_order"]:
            head, _, note = request["body"].encode().partition(b"\n\n")
            if key is None:
                verifier = Verifier.from_vkey(transcript["log_vkey"])
            else:
                name = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562"
                verifier = Verifier(name, SignatureType.ED25519, bytes.fromhex(key))
            old, *hashes = head.decode().split("\n")
            path_hashes = [decode_hash("proof", text) for text in hashes]
            status, seen = answer(decode_decimal("old", old.removeprefix("old ")), path_hashes, note, verifier, seen)
            assert status == request["status"], request
            statuses.append(status)
    assert sorted(statuses) == [200, 200, 200, 200, 403, 403, 409, 409, 422, 422]


def answer(
    old: int, path: list[bytes], note: bytes, log: Verifier, seen: Checkpoint | None
) -> tuple[int, Checkpoint | None]:
    try:
        head = Checkpoint.parse(open_note(note, [log]).text)
    except Refusal:
        return 403, seen  # the transcript is older than 404 for an unknown log
    if old != (0 if seen is None else seen.size):
        return 409, seen
    if seen is not None:
        try:
            verify_consistency(seen.size, seen.root, head.size, head.root, path)
        except Refusal:
            return 422, seen
    return 200, head
