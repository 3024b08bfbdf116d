"""`wattseal tlog verify` over our own proof and over other people's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from wattseal.cli.main import main
from wattseal.core.checkpoint import Checkpoint
from wattseal.core.merkle import Frontier, inclusion_path, leaf_hashes, tree_root
from wattseal.core.note import Note
from wattseal.core.note_key import CosignatureV1Signer, Ed25519Signer, SignatureType, Verifier
from wattseal.core.tlog_proof import TlogProof

LOG = Ed25519Signer("log.example/energy", bytes(32))
WITNESS = CosignatureV1Signer("witness.example", bytes([1] * 32))
ENTRIES = [bytes([number]) * 32 for number in range(11)]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    leaves = leaf_hashes(ENTRIES)
    levels = Frontier().extend(leaves)
    head = Checkpoint("log.example/energy", len(leaves), tree_root(leaves)).body()
    note = bytes(Note(head, (LOG.sign(head), WITNESS.sign(head, 1_700_000_000))))
    proof = TlogProof(5, tuple(inclusion_path(lambda level, number: levels[level][number], 5, len(leaves))), note)
    contents = {
        "proof": bytes(proof),
        "leaf": ENTRIES[5],
        "policy": f"log {LOG.verifier.vkey}\nwitness w {WITNESS.verifier.vkey}\nquorum w\n".encode(),
        "alone": f"log {LOG.verifier.vkey}\nquorum none\n".encode(),
        "other": ENTRIES[6],
        "broken": b"not a proof",
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    return {name: tmp_path / name for name in [*contents, "missing"]}


def run(capsys: pytest.CaptureFixture[str], proof: Path, leaf: Path, policy: Path, *more: str) -> tuple[int, str, str]:
    code = main(["tlog", "verify", str(proof), "--leaf", str(leaf), "--policy", str(policy), *more])
    out, err = capsys.readouterr()
    return code, out, err


def test_yes(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, files["proof"], files["leaf"], files["policy"])
    assert code == 0
    assert out == "yes: entry 5 of the log log.example/energy, checkpoint of 11 entries, cosigned by witness.example\n"
    code, out, _ = run(capsys, files["proof"], files["leaf"], files["alone"], "--json")
    said = json.loads(out)
    assert (code, said["index"], said["size"], said["witnesses"]) == (0, 5, 11, [])


def test_no(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, files["proof"], files["other"], files["policy"])
    assert code == 1
    assert out.startswith("no: ")
    code, out, _ = run(capsys, files["proof"], files["other"], files["policy"], "--json")
    assert (code, json.loads(out)["exit"]) == (1, 1)


@pytest.mark.parametrize(
    ("proof", "leaf", "policy"),
    [("broken", "leaf", "policy"), ("proof", "missing", "policy"), ("proof", "leaf", "broken")],
)
def test_unreadable(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str], proof: str, leaf: str, policy: str
) -> None:
    code, out, err = run(capsys, files[proof], files[leaf], files[policy])
    assert (code, out) == (2, "")
    assert "cannot be read" in err


def test_other_peoples_proofs(fixtures_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = json.loads((fixtures_dir / "tlog" / "rekor_v2" / "inclusion_and_checkpoints.json").read_bytes())
    vkeys = sorted({vkey for record in records for vkey in record["signatures"]})
    logs = [vkey for vkey in vkeys if Verifier.from_vkey(vkey).kind is SignatureType.ED25519]
    policy = tmp_path / "policy"
    policy.write_text("".join(f"log {vkey}\n" for vkey in logs) + "quorum none\n", encoding="utf-8")
    codes = {}
    for leaf in (fixtures_dir / "tlog" / "tlog_proof").glob("rekor2-checkpoint-*.leaf"):
        codes[leaf.stem] = run(capsys, leaf.with_suffix(".tlog-proof"), leaf, policy)[0]
    # `_fail` in a name: its checkpoint was spoiled.
    assert codes == {name: int(name.endswith("_fail")) for name in codes}
    assert set(codes.values()) == {0, 1}


def test_a_full_disk_is_no_verdict(files: dict[str, Path]) -> None:
    options = [str(files["proof"]), "--leaf", str(files["leaf"]), "--policy", str(files["policy"])]
    command = [sys.executable, "-m", "wattseal.cli.main", "tlog", "verify", *options]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=-1, check=False)
    assert done.returncode == 2
    assert done.stderr == b"wattseal tlog: the answers cannot be written: No space left on device\n"
