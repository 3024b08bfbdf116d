"""`wattseal verify`: what people and scripts see, and the exit codes of docs/spec/proof.md §4."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.core.forged_worlds import resigned
from tests.core.world import ORIGIN, World, to_file
from wattseal.cli.main import main
from wattseal.cli.terminal import Terminal, clean
from wattseal.cli.verify import MAX_FACTS, Finding, show
from wattseal.core.bundle import MAX_BUNDLE_BYTES, parse_bundle
from wattseal.core.reading import FLAG_TAMPER
from wattseal.core.verdict import Answer, Verdicts

CHAIN = """\
version = 1
[[chain]]
name = "simulated"
simulated = true
headers_file = "headers.bin"
first_height = 0
"""
CHECKED = ["--require", "authentic,included,complete,anchored"]


class Case:
    """A folder with a bundle and a trust file."""

    def __init__(self, folder: Path, *, simulated_key: bool = False) -> None:
        self.folder = folder
        self.world = World(simulated_key=simulated_key)
        self.document = self.world.bundle()
        self.bundle = self.write("day.wattseal.json", to_file(self.document))
        self.trust = self.write("trust.toml", self.world.trust_text().encode())

    def write(self, name: str, data: bytes) -> str:
        (self.folder / name).write_bytes(data)
        return str(self.folder / name)

    def tampered(self, name: str = "tampered.wattseal.json") -> str:
        """One digit of one record's energy is another one."""
        document = json.loads(to_file(self.document))
        body = document["records"][5]["body"]
        digit = body.index('"energy_kwh":') + len('"energy_kwh":0.')
        document["records"][5]["body"] = f"{body[:digit]}{(int(body[digit]) + 1) % 10}{body[digit + 1 :]}"
        return self.write(name, to_file(document))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], str]:
    code = main(["verify", *arguments])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def test_a_good_file_for_people(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, err = run(capsys, case.bundle, "--trust", case.trust)
    assert (code, err) == (0, "")
    assert lines[0] == case.bundle
    assert lines[1] == "PLANT-01/gw-01/MTR-001, 2025-12-01T00:00:00Z to 2025-12-01T01:00:00Z, 12 records"
    assert lines[2].startswith("Nothing wrong found; 2 of the five answers cannot be told here")
    answers = [line for line in lines[3:] if not line.startswith("    - ")]
    assert [line.split()[:3] for line in answers] == [
        ["✔", "authentic", "yes"],
        ["✔", "included", "yes"],
        ["✔", "complete", "yes"],
        ["?", "anchored", "unknown"],
        ["?", "billed", "unknown"],
    ]
    assert "no independent witness" in lines[4]


def test_simulated_evidence_counts_only_when_it_is_allowed(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, _ = run(capsys, case.bundle, "--trust", case.trust, *CHECKED)
    assert code == 3
    assert "--allow-simulated" in lines[2]
    code, lines, _ = run(capsys, case.bundle, "--trust", case.trust, *CHECKED, "--allow-simulated")
    assert code == 0
    assert lines[2] == "A rehearsal, and it adds up; 1 of the five answers cannot be told here"
    anchored = next(line for line in lines if " anchored " in line)
    assert anchored.split()[:4] == ["≈", "anchored", "yes", "(simulated)"]
    assert "the block's own time is " in anchored
    assert "every reading was signed after block " in anchored


def test_a_simulated_key_is_a_rehearsal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = Case(tmp_path, simulated_key=True)
    assert run(capsys, case.bundle, "--trust", case.trust)[0] == 3
    assert run(capsys, case.bundle, "--trust", case.trust, "--allow-simulated")[0] == 0


def test_one_changed_digit(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, _ = run(capsys, case.tampered(), "--trust", case.trust, "--allow-simulated")
    assert code == 1
    assert lines[2] == "Do not rely on this file"
    assert [line.split()[:3] for line in lines[3:5]] == [["✘", "authentic", "no"], ["✘", "included", "no"]]


def test_without_a_trust_file_nobody_is_trusted(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, _ = run(capsys, case.bundle)
    assert code == 3
    assert lines[2] == "Nothing can be told here: see what each answer lacks"
    # An anchor that nobody can check is no rehearsal that adds up.
    assert run(capsys, case.bundle, "--allow-simulated")[1][2] == lines[2]


def test_for_scripts(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(case.folder / "missing.wattseal.json")
    code, lines, err = run(capsys, case.bundle, case.tampered(), missing, "--trust", case.trust, "--json")
    assert (code, err, len(lines)) == (1, "", 3)
    good, bad, unread = (json.loads(line) for line in lines)
    assert (good["exit"], good["meter"], good["records"]) == (0, "PLANT-01/gw-01/MTR-001", 12)
    assert {name: answer["answer"] for name, answer in good["verdicts"].items()} == {
        "authentic": "yes",
        "included": "yes",
        "complete": "yes",
        "anchored": "unknown",
        "billed": "unknown",
    }
    assert good["verdicts"]["anchored"]["simulated"]
    assert (bad["exit"], bad["verdicts"]["included"]["answer"]) == (1, "no")
    assert (unread["exit"], unread["fault"]) == (2, "cannot be opened: No such file or directory")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data.replace(b'"bill":', b'"bills":'),
        lambda data: b"\xff" + data,
        lambda data: b" " * (MAX_BUNDLE_BYTES + 1),
    ],
)
def test_what_is_no_bundle_is_unreadable(
    case: Case, capsys: pytest.CaptureFixture[str], spoil: Callable[[bytes], bytes]
) -> None:
    path = case.write("spoiled.wattseal.json", spoil(to_file(case.document)))
    code, lines, _ = run(capsys, path, "--trust", case.trust)
    assert code == 2
    assert lines[1].startswith("This file cannot be read as a proof bundle: ")


@pytest.mark.parametrize(
    ("trust", "said"),
    [
        (b"version = 2\n", "version"),
        (b"\xff", "UTF-8"),
        (b'version = 1\nfriend = "eve"\n', "friend"),
        (CHAIN.replace("first", "last").encode(), "first_height"),
        (CHAIN.encode(), "No such file"),
        (None, "No such file"),
    ],
)
def test_a_trust_file_that_cannot_be_read(
    case: Case, capsys: pytest.CaptureFixture[str], trust: bytes | None, said: str
) -> None:
    path = str(case.folder / "other.toml") if trust is None else case.write("other.toml", trust)
    code, lines, err = run(capsys, case.bundle, "--trust", path)
    assert (code, lines) == (2, [])
    assert said in err
    code, lines, err = run(capsys, case.bundle, "--trust", path, "--json")
    assert (code, err, json.loads(lines[0])["exit"]) == (2, "", 2)


def test_the_facts_stand_under_their_answer(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    _, lines, _ = run(capsys, case.bundle, "--trust", case.trust)
    at = next(place for place, line in enumerate(lines) if " included " in line)
    assert lines[at + 1].startswith(f"    - log {ORIGIN}, ")
    assert lines[at + 2].startswith("    - 12 records, from index ")
    assert lines[at + 3] == "    - you gave no earlier checkpoint to compare with"
    assert "complete" in lines[at + 4]  # the fourth fact is in the reason already


def test_the_facts_of_a_crowd_are_counted(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    answer = Answer("yes", "because", facts=tuple(f"fact {number}\x1b" for number in range(MAX_FACTS + 3)))
    bundle = parse_bundle(to_file(case.document))
    verdicts = Verdicts(answer, answer, answer, answer, answer)
    show(Finding("f", 0, bundle, verdicts), Terminal(), allow_simulated=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines.count("      … and 3 more (--json shows all)") == 5
    assert sum(line.startswith("    - fact ") for line in lines) == 5 * MAX_FACTS
    assert not any("\x1b" in line for line in lines)


def test_a_yes_with_tampering_does_not_look_plain(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    resigned(case.world, FLAG_TAMPER)
    path = case.write("tampered.wattseal.json", to_file(case.world.bundle()))
    code, lines, _ = run(capsys, path, "--trust", case.write("later.toml", case.world.trust_text().encode()))
    assert code == 0
    assert "; read what stands after “but”" in lines[2]
    authentic = lines[3]
    assert authentic.split()[:3] == ["!", "authentic", "yes"]
    assert authentic.endswith("; but a device reported tampering (13 times)")


def test_a_name_that_no_file_can_have(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    trust = case.write("other.toml", CHAIN.replace("headers.bin", "a\\u0000b").encode())
    code, lines, err = run(capsys, case.bundle, "--trust", trust)
    assert (code, lines) == (2, [])
    assert "is no name that a file can have" in err
    assert len(err.splitlines()) == 1


COMMAND = [sys.executable, "-m", "wattseal.cli.main", "verify"]


def test_a_reader_who_leaves_is_no_verdict(case: Case) -> None:
    with subprocess.Popen(
        [*COMMAND, *[case.bundle] * 20, "--trust", case.trust], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 2
    assert said == "wattseal verify: the answers cannot be written: Broken pipe\n"


def test_a_full_disk_is_no_verdict(case: Case) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*COMMAND, case.bundle, "--trust", case.trust], stdout=full, stderr=-1, check=False)
    assert done.returncode == 2
    assert done.stderr == b"wattseal verify: the answers cannot be written: No space left on device\n"


def test_a_headers_file_lies_beside_the_trust_file(
    case: Case, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = b"".join(header.serialise() for header in case.world.chain._ledger.headers)
    case.write("headers.bin", headers)
    head, _, _ = case.world.trust_text().partition("[[chain]]")
    trust = case.write("trust.toml", (head + CHAIN.removeprefix("version = 1\n")).encode())
    monkeypatch.chdir("/")
    assert run(capsys, case.bundle, "--trust", trust, *CHECKED, "--allow-simulated")[0] == 0


def test_several_files_give_the_worst_code(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    unread = case.write("spoiled.wattseal.json", b"{")
    assert run(capsys, case.bundle, unread, "--trust", case.trust)[0] == 2
    assert run(capsys, case.bundle, unread, case.tampered(), "--trust", case.trust)[0] == 1
    assert run(capsys, case.bundle, unread)[0] == 2


@pytest.mark.parametrize("require", ["", "honest", "included,"])
def test_required_answers_are_named(case: Case, capsys: pytest.CaptureFixture[str], require: str) -> None:
    code, _, err = run(capsys, case.bundle, "--trust", case.trust, "--require", require)
    assert code == (0 if require == "included," else 2)
    assert ("--require" in err) == (code == 2)


def test_an_option_that_does_not_work_yet_is_not_taken_silently(case: Case) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["verify", case.bundle, "--bitcoin", "http://127.0.0.1:1"])
    assert exit_.value.code == 2


def test_a_file_cannot_steer_the_terminal(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(to_file(case.document))
    document["checkpoint"] = document["checkpoint"].replace("example.org", "\x1b[2Jexample.org")
    path = case.write("steering.wattseal.json", json.dumps(document).encode())
    _, lines, _ = run(capsys, path, "--trust", case.trust)
    assert not any("\x1b" in line for line in lines)
    assert clean("a\x1b[31m\r\u202eb") == r"a\u{1b}[31m\u{d}\u{202e}b"
