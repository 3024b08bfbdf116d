from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattseal.core.checkpoint import Checkpoint
from wattseal.core.merkle import Frontier, ProofMismatch, inclusion_path, leaf_hash, leaf_hashes, tree_root
from wattseal.core.note import Note
from wattseal.core.note_key import CosignatureV1Signer, Ed25519Signer, SignatureType, Verifier
from wattseal.core.policy import Policy
from wattseal.core.refusal import Refusal
from wattseal.core.tlog_proof import TlogProof, verify, verify_leaf

LOG = Ed25519Signer("log.example/energy", bytes(32))
WITNESS = CosignatureV1Signer("witness.example", bytes([1] * 32))
POLICY = Policy.parse(
    f"log {LOG.verifier.vkey}\nwitness w {WITNESS.verifier.vkey}\nquorum w\n".encode(),
)
ENTRIES = [b"entry %d" % number for number in range(11)]
LEAVES = leaf_hashes(ENTRIES)
LEVELS = Frontier().extend(LEAVES)
HEAD = Checkpoint("log.example/energy", len(LEAVES), tree_root(LEAVES))
SIGNED = bytes(Note(HEAD.body(), (LOG.sign(HEAD.body()), WITNESS.sign(HEAD.body(), 1_700_000_000))))


def proof_of(index: int, *, extra: bytes | None = None) -> TlogProof:
    path = inclusion_path(lambda level, number: LEVELS[level][number], index, len(LEAVES))
    return TlogProof(index, tuple(path), SIGNED, extra)


hashes = st.lists(st.binary(min_size=32, max_size=32), max_size=63).map(tuple)


@given(
    st.builds(
        TlogProof,
        st.integers(0, 2**63 - 2),
        hashes,
        st.binary(min_size=1, max_size=200),
        st.none() | st.binary(min_size=1, max_size=50),
    )
)
def test_proofs_are_read_back(proof: TlogProof) -> None:
    assert TlogProof.parse(bytes(proof)) == proof


def test_the_form_of_a_proof() -> None:
    lines = bytes(proof_of(5, extra=b"context")).split(b"\n")
    assert lines[:3] == [b"c2sp.org/tlog-proof@v1", b"extra " + base64.b64encode(b"context"), b"index 5"]
    assert lines[7] == b""
    assert b"\n".join(lines[8:]) == SIGNED


def test_every_entry_is_proved() -> None:
    for index, entry in enumerate(ENTRIES):
        proof = TlogProof.parse(bytes(proof_of(index, extra=b"x")))
        assert verify(proof, entry, POLICY) == verify_leaf(proof, leaf_hash(entry), POLICY)
        assert verify(proof, entry, POLICY).checkpoint == HEAD
        with pytest.raises(ProofMismatch):
            verify(proof, entry + b"!", POLICY)
        with pytest.raises(ProofMismatch):
            verify_leaf(proof, LEAVES[(index + 1) % 11], POLICY)


def test_a_proof_is_nothing_without_the_policy() -> None:
    proof = proof_of(3)
    strangers = f"log {LOG.verifier.vkey}\nwitness w {CosignatureV1Signer('w', bytes(32)).verifier.vkey}\nquorum w\n"
    for text in (strangers, "quorum none\n"):
        with pytest.raises(Refusal) as refused:
            verify(proof, ENTRIES[3], Policy.parse(text.encode()))
        assert not isinstance(refused.value, ProofMismatch)


PROOF = bytes(proof_of(3))


@given(st.integers(0, len(PROOF) - 1), st.integers(1, 255))
def test_no_changed_byte_is_accepted(position: int, change: int) -> None:
    data = bytearray(PROOF)
    data[position] ^= change
    with pytest.raises(Refusal):
        verify(TlogProof.parse(bytes(data)), ENTRIES[3], POLICY)


ONE = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no empty line",
        "c2sp.org/tlog-proof@v1\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n\n",
        "c2sp.org/tlog-proof@v2\nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1 \nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\r\nindex 0\r\n\r\ncheckpoint\n",
        "\nc2sp.org/tlog-proof@v1\nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 00\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex  0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 0 \n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 9223372036854775807\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex \u0663\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nextra \nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nextra\nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nextra QQ==\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nextra QR==\nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nextra QQ==\nextra QQ==\nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 0\nextra QQ==\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 0\nindex 0\n\ncheckpoint\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{ONE[:-1]}\n\ncheckpoint\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{ONE} \n\ncheckpoint\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n {ONE}\n\ncheckpoint\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{ONE}AAAA\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 0",
    ],
)
def test_proofs_that_are_refused(text: str) -> None:
    with pytest.raises(Refusal):
        TlogProof.parse(text.encode())


def test_how_large_a_proof_may_be() -> None:
    largest = TlogProof(2**63 - 2, (bytes(32),) * 63, b"x" * 2**20, b"y" * 2**16)
    data = bytes(largest)
    assert TlogProof.parse(data) == largest
    head, _, note = data.partition(b"\n\n")
    for bad, reason in (
        (head + b"\n\n" + note + b"x", "1 to 1048576 bytes"),
        (head + b"\n" + ONE.encode() + b"\n\n" + note, "63 lines"),
        (head.replace(b"extra ", b"extra QUFB") + b"\n\n" + note, "1 to 65536 bytes"),
        (head.replace(b"extra ", b"extra " + b"Q" * 2**17) + b"\n\nx", "no empty line"),
        (head + note, "no empty line"),
        (data + b"x" * 2**17, "larger than"),
    ):
        with pytest.raises(Refusal, match=reason):
            TlogProof.parse(bad)


def test_what_no_proof_can_be_made_of() -> None:
    for index in (-1, 2**63 - 1):
        with pytest.raises(Refusal):
            TlogProof(index, (), b"checkpoint\n")
    for path in ((bytes(31),), (bytes(32),) * 64):
        with pytest.raises(Refusal):
            TlogProof(0, path, b"checkpoint\n")
    with pytest.raises(Refusal):
        TlogProof(0, (), b"")
    for extra in (b"", bytes(2**16 + 1)):
        with pytest.raises(Refusal):
            TlogProof(0, (), b"checkpoint\n", extra)


# --- Vectors ----------------------------------------------------------------------------------------------------------


def test_parse_cases_of_transparency_dev(fixtures_dir: Path) -> None:
    cases = json.loads((fixtures_dir / "tlog" / "tlog_proof" / "formats_parse_cases.json").read_bytes())
    for text in cases["parse_ok"]:
        assert bytes(TlogProof.parse(text.encode())) == text.encode()
    for case in cases["parse_error"]:
        with pytest.raises(Refusal):
            TlogProof.parse(case["text"].encode())
    assert (len(cases["parse_ok"]), len(cases["parse_error"])) == (3, 7)


# What a `_fail` in a file's name means, by the reason of the refusal.
REFUSED = {
    # The note has no signature line at all, which is no note.
    "rekor2-checkpoint-missing-log-signature_fail": "note",
    # A line is taken out of the body, so the log's signature does not fit what is left.
    "rekor2-checkpoint-missing-origin_fail": "signature",
    "rekor2-checkpoint-missing-root-hash_fail": "signature",
    "rekor2-checkpoint-missing-size_fail": "signature",
    # Another log's name: no key of the policy has signed.
    "rekor2-checkpoint-no-matching-signature_fail": "note.signatures",
}
# These say `_fail` because of their RFC 3161 timestamps, which are outside a tlog-proof: as proofs they are good.
GOOD_ALL_THE_SAME = {
    "rekor2-timestamp-outside-tsa-cert-validity_fail",
    "rekor2-timestamp-payload-mismatch_fail",
    "rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail",
    "rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail",
}


def test_proofs_of_rekor_v2(fixtures_dir: Path) -> None:
    """The policy holds every key that the records beside the proofs name; nobody's cosignature is asked for."""
    records = json.loads((fixtures_dir / "tlog" / "rekor_v2" / "inclusion_and_checkpoints.json").read_bytes())
    vkeys = sorted({vkey for record in records for vkey in record["signatures"]})
    logs = [vkey for vkey in vkeys if Verifier.from_vkey(vkey).kind is SignatureType.ED25519]
    witnesses = [vkey for vkey in vkeys if vkey not in logs]
    lines = [f"log {vkey}\n" for vkey in logs]
    lines += [f"witness w{number} {vkey}\n" for number, vkey in enumerate(witnesses)]
    policy = Policy.parse("".join([*lines, "quorum none\n"]).encode())

    files = sorted((fixtures_dir / "tlog" / "tlog_proof").glob("*.tlog-proof"))
    accepted = set()
    for path in files:
        data = path.read_bytes()
        proof = TlogProof.parse(data)
        assert bytes(proof) == data
        leaf = path.with_suffix(".leaf")
        entry = leaf.read_bytes() if leaf.exists() else entry_of(records, proof)
        if path.stem in REFUSED:
            with pytest.raises(Refusal) as refused:
                verify(proof, entry, policy)
            assert refused.value.field == REFUSED[path.stem], path.stem
            continue
        assert verify(proof, entry, policy).checkpoint.origin == "log2025-alpha1.rekor.sigstage.dev"
        with pytest.raises(ProofMismatch):
            verify(proof, entry + b" ", policy)
        accepted.add(path.stem)
    assert {name for name in accepted if name.endswith("_fail")} == GOOD_ALL_THE_SAME
    assert len(files) == len(accepted) + len(REFUSED) == 18


def entry_of(records: list[dict[str, str]], proof: TlogProof) -> bytes:
    (found,) = {record["leaf_b64"] for record in records if record["checkpoint"].encode() == proof.checkpoint}
    return base64.b64decode(found)


def test_a_rekor_v2_checkpoint_under_a_quorum_of_its_witnesses(fixtures_dir: Path) -> None:
    records = json.loads((fixtures_dir / "tlog" / "rekor_v2" / "inclusion_and_checkpoints.json").read_bytes())
    (record,) = (record for record in records if "dsse-happy-path" in record["source"])
    log, *witnesses = sorted(record["signatures"], key=lambda vkey: Verifier.from_vkey(vkey).kind)
    lines = [f"log {log}\n", *(f"witness w{number} {vkey}\n" for number, vkey in enumerate(witnesses))]
    proof = TlogProof(record["index"], tuple(map(base64.b64decode, record["hashes"])), record["checkpoint"].encode())
    entry = base64.b64decode(record["leaf_b64"])
    everyone = Policy.parse("".join([*lines, "group all-three all w0 w1 w2\nquorum all-three\n"]).encode())
    opened = verify(proof, entry, everyone)
    assert opened.checkpoint.size == 4_026_479
    assert [one.time for one in opened.cosignatures] == [1_778_700_214] * 3
    # One witness more, who did not cosign.
    lines.append(f"witness w3 {WITNESS.verifier.vkey}\n")
    more = Policy.parse("".join([*lines, "group all-four all w0 w1 w2 w3\nquorum all-four\n"]).encode())
    with pytest.raises(Refusal, match=r"policy\.quorum"):
        verify(proof, entry, more)
