"""`wattseal verify`: what people and scripts see, and the exit codes of docs/spec/proof.md §4."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.core.world import World, to_file
from wattseal.cli.main import main
from wattseal.cli.terminal import clean
from wattseal.core.bundle import MAX_BUNDLE_BYTES

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
    assert [line.split()[:3] for line in lines[3:]] == [
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
    assert lines[6].split()[:4] == ["≈", "anchored", "yes", "(simulated)"]


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
