from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.log.damage import assert_found, change
from tests.log.sample import (
    FLAT,
    LOAD,
    NAMES,
    SIGNER,
    SUN,
    Desk,
    Statement,
    checked,
    draft_of,
    entry_of,
    history,
    memory_folder,
    opened,
    record,
    records,
    reported,
    statement,
)
from wattseal.core import jcs
from wattseal.core.batch import parse_batch
from wattseal.core.entry import Slots
from wattseal.core.note_key import Ed25519Signer
from wattseal.log.amendments import SUPERSESSION, Supersession
from wattseal.log.fsck import check_export
from wattseal.log.reader import LogReader
from wattseal.log.report import Report
from wattseal.log.sequencer import Draft, RegistryCommitment
from wattseal.log.static import export_log

SIZE = 369
VKEY = SIGNER.verifier.vkey


# --- What the log itself says wrongly ---------------------------------------------------------------------------------


def written(memory_path: Path, write: Callable[[Desk], object]) -> Report:
    """A log that its own operator wrote so; the tree and the signatures are right, and the opening finds no fault."""
    with opened(memory_path) as desk:
        desk.set_up()
        desk.append(*records(0, 5))
        desk.close_batch()
        write(desk)
        with desk.store.read() as read:
            is_closed = LogReader(read).size == desk.sequencer.next_idx
        if not is_closed:
            desk.close_batch()
    with opened(memory_path):
        pass
    return checked(memory_path)


Lie = Callable[[RegistryCommitment], RegistryCommitment]
LIES: dict[str, tuple[Lie, str]] = {
    "registry root": (lambda true: true._replace(root=bytes(32)), "says registry.root 0000"),
    "registry size": (lambda true: true._replace(size=7), "says registry.size 7, and the log says 8"),
    "a meter left out": (
        lambda true: true._replace(disclosed=frozenset({LOAD})),
        "says production_kwh 0, and the log says 1",
    ),
    "a meter too many": (lambda true: true._replace(disclosed=frozenset(NAMES)), "says consumption_kwh 2.00001, and"),
    "the wrong role": (lambda true: true._replace(producers=frozenset({LOAD})), "says consumption_kwh 0, and the log"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_batch_that_says_something_else_than_its_entries(memory_path: Path, name: str) -> None:
    lie, text = LIES[name]

    def write(desk: Desk) -> None:
        desk.append(*records(5, 1))
        desk.sequencer.close_batch(5, lie(desk.commitment()))

    assert_found(written(memory_path, write), 27, text)


def test_a_record_that_covers_time_twice(memory_path: Path) -> None:
    twice = record(LOAD, 3, slots_long=4, status="gap")
    assert_found(written(memory_path, lambda desk: desk.append(twice)), 24, "energy would count twice")


def test_a_record_that_is_there_twice(memory_path: Path) -> None:
    again = record(FLAT, 2, kind="reported")
    assert_found(
        written(memory_path, lambda desk: desk.state(Statement(again, "", b""))), 24, "energy would count twice"
    )


def test_a_record_that_does_not_begin_where_the_last_ended(memory_path: Path) -> None:
    broken = record(LOAD, 5, start="elsewhere")
    assert_found(written(memory_path, lambda desk: desk.append(broken)), 24, "does not begin with the reading")


def test_an_interruption_is_worth_a_note(memory_path: Path) -> None:
    report = written(memory_path, lambda desk: desk.append(record(LOAD, 9), record(LOAD, 10), record(LOAD, 20)))
    assert (report.ok, report.checked["interruptions"]) == (True, 2)


def test_history_may_come_after_what_it_precedes(memory_path: Path) -> None:
    import_, rows = history(5)

    def write(desk: Desk) -> None:
        desk.state(import_)
        desk.append(*rows)

    assert written(memory_path, write).ok


def test_history_is_not_put_between_two_readings_of_one_chain(memory_path: Path) -> None:
    """The registers on both sides count its time already, whatever its slots say."""
    import_, _ = history(5)
    source = entry_of(import_.draft).hex()
    wedge = record(LOAD, 5, kind="import", source=source, energy=5_000_000_000)

    def write(desk: Desk) -> None:
        desk.state(import_)
        desk.append(wedge, record(LOAD, 6))

    assert_found(written(memory_path, write), 26, "between two readings of one chain")
    assert_found(
        written(memory_path / "copied", lambda desk: desk.append(wedge._replace(slots=record(LOAD, 5).slots))),
        24,
        "names the reading of another record as its evidence",
    )


def superseding(gap: Draft, *parts: Draft) -> Draft:
    data = Supersession(entry_of(gap), tuple(map(entry_of, parts))).body()
    return draft_of(f"supersession {len(parts)}", SUPERSESSION, data)


def supersede(desk: Desk, said: Draft, *replaced: int) -> None:
    """Append what says so, and mark the records at these indexes as replaced by it."""
    with desk.sequencer.write() as tx:
        index = desk.sequencer.append(tx, [said])
        tx.mark_superseded([(idx, index) for idx in replaced])


GAP = record(LOAD, 5, slots_long=3, energy=30, status="gap")
PARTS = [record(LOAD, 5, energy=11), record(LOAD, 6, energy=9), record(LOAD, 7, energy=10)]


def fill(desk: Desk, *, by: slice = slice(3), energy: int = 10, marked: tuple[int, ...] = (24,)) -> None:
    """A gap at entry 24, its parts from entry 26 on, and at 29 what says that they replace it."""
    desk.append(GAP, record(LOAD, 8))
    made = [*PARTS[:2], record(LOAD, 7, energy=energy)]
    desk.append(*made)
    supersede(desk, superseding(GAP, *made[by]), *marked)


def test_a_gap_that_was_filled_later(memory_path: Path) -> None:
    assert written(memory_path, fill).ok
    with opened(memory_path) as desk:
        batch = parse_batch(desk.body_at(30))
    # 30 of the gap and what came beside it; the parts that hold the same energy are left out.
    assert batch.consumption_mwh == 30 + (record(LOAD, 8).energy_mwh or 0)


def test_a_gap_that_was_filled_after_its_batch_was_closed(memory_path: Path) -> None:
    def write(desk: Desk) -> None:
        desk.append(GAP)
        desk.close_batch()
        desk.append(*PARTS)
        supersede(desk, superseding(GAP, *PARTS), 24)

    assert written(memory_path, write).ok
    with opened(memory_path) as desk:
        batch = parse_batch(desk.body_at(30))
    assert (batch.first_index, batch.consumption_mwh) == (26, 0)


def test_a_part_stands_in_the_batch_of_its_supersession(memory_path: Path) -> None:
    def write(desk: Desk) -> None:
        desk.append(GAP, PARTS[0])
        desk.close_batch()
        desk.append(record(LOAD, 8, energy=40), *PARTS[1:])
        supersede(desk, superseding(GAP, *PARTS), 24)

    assert_found(written(memory_path, write), 31, "names a part that stands in an earlier one")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"energy": 11}, "do not add up to the energy"),
        ({"by": slice(2)}, "do not cover the same time"),
        ({"by": slice(0)}, "names records that are not in the log"),
    ],
)
def test_a_supersession_that_does_not_conserve(memory_path: Path, wrong: dict[str, Any], text: str) -> None:
    assert_found(written(memory_path, lambda desk: fill(desk, **wrong)), 29, text)


def test_the_mark_of_a_superseded_record(memory_path: Path) -> None:
    report = written(memory_path, lambda desk: fill(desk, marked=()))
    assert_found(report, 24, "it is not marked as superseded, and the entries say otherwise")
    with memory_folder() as folder:
        report = written(folder, lambda desk: fill(desk, marked=(24, 25)))
        assert_found(report, 25, "it is marked as superseded, and the entries say otherwise")


def test_a_supersession_has_no_slots(memory_path: Path) -> None:
    said = superseding(GAP, *PARTS)._replace(slots=Slots(end=bytes([1]) * 32))

    def write(desk: Desk) -> None:
        desk.append(GAP, *PARTS)
        supersede(desk, said, 24)

    assert_found(written(memory_path, write), 28, "its slots are not empty")


def test_supersessions_that_name_what_is_not_theirs(memory_path: Path) -> None:
    gap = record(LOAD, 5, energy=30)

    def write(desk: Desk) -> None:
        desk.append(gap, record(SUN, 5, energy=30))
        supersede(desk, superseding(gap, record(SUN, 5, energy=30)), 24)

    assert_found(written(memory_path, write), 26, "names records of different meters")


def tombstone(subject: bytes, body: bytes) -> Statement:
    data = jcs.dumps(
        {
            "schema_version": "tombstone-1",
            "subject": subject.hex(),
            "body_sha256": hashlib.sha256(body).hexdigest(),
            "reason": "the tenant asked for it",
            "erased_at": "2026-01-01T00:00:00Z",
            "operator": "somebody",
        }
    )
    return statement("tombstone", "tombstone-1", data)


def test_a_tombstone_stands_for_an_erased_body(memory_path: Path) -> None:
    erased = records(0, 5)[3]  # of the consumer, which is disclosed
    with opened(memory_path) as desk:
        desk.set_up()
        desk.append(*records(0, 5))
        desk.state(tombstone(entry_of(erased), erased.body))
        change(memory_path, "UPDATE entry SET body = x'' WHERE idx = 11")
        desk.close_batch()
        desk.append(*records(5, 1))
        desk.close_batch()
        with desk.store.read() as read:
            export_log(read, memory_path / "out", with_bodies=True)
    report = checked(memory_path)
    assert report.ok, report.findings
    assert report.checked["erased bodies"] == 1
    report = check_export(memory_path / "out", VKEY)
    assert report.ok, report.findings
    assert (report.checked["erased bodies"], report.checked["totals that cannot be checked"]) == (1, 1)
    change(memory_path, "UPDATE entry SET body = x'' WHERE idx = 14")
    assert_found(checked(memory_path), 14, "no tombstone says why")


def test_a_tombstone_must_be_signed(memory_path: Path) -> None:
    other = Ed25519Signer("somebody", bytes([7]) * 32)
    real = tombstone(entry_of(records(0, 1)[0]), b"")
    forged = statement("tombstone", "tombstone-1", real.draft.body, other)
    assert_found(written(memory_path, lambda desk: desk.state(forged)), 24, "not signed by a registered operator")
    with memory_folder() as folder:
        other_note = history(1)[0]
        draft = draft_of("t", "tombstone-1", real.draft.body)._replace(slots=other_note.draft.slots)
        about_another = Statement(draft, other_note.note)
        assert_found(written(folder, lambda desk: desk.state(about_another)), 24, "about another statement")


@pytest.mark.parametrize("schema", ["emlog-1.1", "meter-1", "supersession-1", "tombstone-1", "batch-1", "closing-1"])
def test_a_body_that_is_not_what_its_schema_says(memory_path: Path, schema: str) -> None:
    note = statement("bad", schema, b'{"schema_version":"x-1"}')
    if schema == "emlog-1.1":
        note = Statement(record(LOAD, 5)._replace(body=note.draft.body), "")

    def write(desk: Desk) -> None:
        commitment = desk.commitment()
        desk.state(note)
        desk.sequencer.close_batch(5, commitment)

    assert_found(written(memory_path, write), 24, f"its body is no {schema}")


def test_a_body_of_a_schema_that_is_not_known_here(memory_path: Path) -> None:
    assert written(
        memory_path, lambda desk: desk.append(draft_of("new", "closing-1", b'{"a":1,"schema_version":"closing-1"}'))
    ).ok


def test_reported_records_are_no_chain(memory_path: Path) -> None:
    assert written(memory_path, lambda desk: desk.state(reported(5), reported(6))).ok
