"""Declared discontinuities: swaps, rollovers and resets, beforehand and afterwards (docs/spec/log.md §2)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ingest.room import KW, NOW, OPERATOR, ORIGIN, SIGNER, Room, fields, meter, signed
from wattseal.core.bundle import parse_bundle
from wattseal.core.discontinuity import KINDS, RESET, ROLLOVER, SWAP, parse_discontinuity
from wattseal.core.emlog import Record
from wattseal.core.note import open_note
from wattseal.core.reading import parse_envelope
from wattseal.core.refusal import Refusal
from wattseal.core.statement import statement_text
from wattseal.core.trust import parse_trust
from wattseal.core.verify import verify
from wattseal.ingest.declaration import Declaration
from wattseal.ingest.receipt import Receipt
from wattseal.log.bundle import build_bundle, record_bundle
from wattseal.log.fsck import check_store
from wattseal.log.releases import decision_of
from wattseal.log.salts import SaltSource
from wattseal.simulate.fleet import SimulatedMeter

PATH = "site/device-m1/m1"


TRUST = f'version = 1\n[[log]]\norigin = "{ORIGIN}"\nvkey = "{SIGNER.verifier.vkey}"\n'


def no_file(name: str) -> bytes:
    raise Refusal(name, "is not there")


class Chain:
    """Readings of one meter, each minute, with registers of the test's choice."""

    def __init__(self, source: SimulatedMeter) -> None:
        self.source = source
        self.items: list[bytes] = []

    def read(self, import_mwh: int, **changes: Any) -> bytes:  # noqa: ANN401 - fields of a Reading
        item = self.source.read(NOW + 60 * len(self.items))
        if self.items:
            changes.setdefault("prev", parse_envelope(self.items[-1]).digest)
        self.items.append(signed(self.source, item, import_mwh=import_mwh, **changes))
        return self.items[-1]


def begin(room: Room, *registers: int, interval_s: int = 60) -> Chain:
    chain = Chain(meter(interval_s=interval_s))
    room.enrol(chain.source)
    room.clock.now_s = NOW + 1_200
    room.submit(*(chain.read(register) for register in registers))
    return chain


def swap(before: int | None, after: int = 0, kind: str = SWAP, **more: Any) -> Declaration:  # noqa: ANN401 - as Declaration
    values: dict[str, Any] = {"export_before_mwh": None, "export_after_mwh": None, "reason": "a test", **more}
    return Declaration(kind, PATH, before, after, **values)


def outcomes(receipts: list[Receipt]) -> list[str]:
    return [receipt.reason or receipt.outcome for receipt in receipts]


def energies(records: list[Record]) -> list[tuple[int, str, str]]:
    return [(record.energy_mwh, record.status, record.evidence.kind) for record in records]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_swap_that_is_declared_beforehand(room: Room, *, restarts: bool) -> None:
    chain = begin(room, 1_000_000, 1_010_000)
    logged = room.declare(swap(1_014_000, 500))
    if restarts:
        room.restart()
    assert outcomes(room.submit(chain.read(2_500), chain.read(7_500))) == ["admitted", "admitted"]
    assert energies(room.current()) == [(10_000, "ok", "device"), (6_000, "ok", "operator"), (5_000, "ok", "device")]
    with room.store.read() as read:
        row = read.entries(logged.index, 1)[0]
        raw = read.raw(row.idx)
        entry = SaltSource(read.secrets()).entry(row)
    assert [record.evidence.source for record in room.current()] == [None, entry.hex(), None]
    said = parse_discontinuity(row.body)
    assert (said.kind, said.path, said.after) == (SWAP, PATH, parse_envelope(chain.items[1]).digest)
    assert raw is not None
    opened = open_note(raw[1].encode(), (OPERATOR.verifier,))
    assert opened.text.decode() == statement_text("discontinuity-1", row.body)


@pytest.mark.parametrize("restarts", [False, True])
def test_a_swap_that_is_declared_afterwards(room: Room, *, restarts: bool) -> None:
    chain = begin(room, 1_000_000, 1_010_000)
    receipts = room.submit(*(chain.read(register) for register in (2_500, 7_500, 9_500)))
    assert outcomes(receipts) == ["register-fell"] * 3
    if restarts:
        room.restart()
    logged = room.declare(swap(1_014_000, 500))
    expected = [
        (10_000, "ok", "device"),
        (6_000, "ok", "operator"),
        (5_000, "ok", "device"),
        (2_000, "ok", "device"),
    ]
    assert energies(room.current()) == expected
    with room.store.read() as read:
        for receipt in receipts:
            settled = decision_of(read, receipt.log_id or b"")
            assert settled is not None
            assert settled.entry_id == logged.log_id
    if restarts:
        room.restart()
    assert outcomes(room.submit(chain.read(9_600))) == ["admitted"]
    with pytest.raises(Refusal):
        room.decide(receipts[0].log_id or b"", "reject")


def test_a_rollover(room: Room) -> None:
    chain = begin(room, 999_990_000, 999_998_000)
    assert outcomes(room.submit(chain.read(3_000))) == ["register-fell"]
    room.declare(swap(1_000_000_000, 0, ROLLOVER))
    assert energies(room.current())[1:] == [(5_000, "ok", "operator")]


def test_a_reset_whose_end_nobody_read(room: Room) -> None:
    chain = begin(room, 1_000_000, 1_010_000, 1_012_000)
    room.submit(chain.read(3_000))
    room.declare(swap(None, 0, RESET))
    assert energies(room.current())[2:] == [(3_000, "gap", "operator")]  # and nothing invented before it


def test_a_reset_whose_end_is_known(room: Room) -> None:
    chain = begin(room, 1_000_000)
    room.submit(chain.read(3_000))
    room.declare(swap(1_001_000, 0, RESET))
    assert energies(room.current()) == [(4_000, "ok", "operator")]


def test_a_discontinuity_in_the_middle_of_a_record(room: Room) -> None:
    chain = begin(room, 1_000_000, 1_010_000, interval_s=300)
    room.declare(swap(1_014_000, 500))
    room.restart()
    with pytest.raises(Refusal) as refused:
        room.declare(swap(1_020_000, 0))
    assert refused.value.field == "after"
    room.submit(*(chain.read(register) for register in (2_500, 7_500, 9_500, 10_500)))
    (record,) = room.current()
    assert (record.energy_mwh, record.status, record.evidence.kind) == (24_000, "ok", "operator")


def test_both_registers(room: Room) -> None:
    chain = Chain(meter())
    room.enrol(chain.source)
    room.clock.now_s = NOW + 1_200
    room.submit(chain.read(1_000, export_mwh=9_000))
    with pytest.raises(Refusal) as refused:
        room.declare(swap(1_500, 10))
    assert refused.value.field == "export_before_kwh"
    room.declare(swap(1_500, 10, export_before_mwh=9_200, export_after_mwh=7))
    assert outcomes(room.submit(chain.read(20, export_mwh=6))) == ["register-fell"]
    assert outcomes(room.submit(chain.read(20, export_mwh=17))) == ["admitted"]
    (record,) = room.current()
    assert (record.energy_mwh, record.export_mwh, record.status) == (510, 210, "gap")


WRONG: dict[str, tuple[Declaration, str]] = {
    "less than was counted": (swap(1_009_999), "import_before_kwh"),
    "more than the rating allows": (swap(1_010_000 + 20 * KW), "import_before_kwh"),
    "a register that the reading is below": (swap(1_014_000, 3_000), "import_after_kwh"),
    "another place": (swap(1_014_000)._replace(after=bytes(32)), "after"),
    "another key": (swap(1_014_000, 0, kid=bytes(16)), "kid"),
    "another meter": (swap(1_014_000)._replace(path="site/device-m1/other"), "meter_id"),
    "a swap without an end": (swap(None), "import_before_kwh"),
    "another kind": (swap(1_014_000, 0, "a storm"), "kind"),
    "no reason": (swap(1_014_000, 0, reason=""), "reason"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused_leaves_everything(room: Room, name: str) -> None:
    said, field = WRONG[name]
    chain = begin(room, 1_000_000, 1_010_000)
    assert outcomes(room.submit(chain.read(2_500))) == ["register-fell"]
    before = (room.schemas(), room.current())
    with pytest.raises(Refusal) as refused:
        room.declare(said)
    assert refused.value.field == field
    assert (room.schemas(), room.current()) == before
    room.declare(swap(1_014_000, 500))
    assert energies(room.current())[1:] == [(6_000, "ok", "operator")]


def test_a_place_with_admitted_successors_is_refused(room: Room) -> None:
    chain = begin(room, 1_000_000, 1_010_000, 1_020_000)
    with pytest.raises(Refusal) as refused:
        room.declare(swap(1_014_000)._replace(after=parse_envelope(chain.items[1]).digest))
    assert refused.value.field == "after"


def test_a_chain_must_have_begun(room: Room) -> None:
    room.enrol(meter())
    with pytest.raises(Refusal) as refused:
        room.declare(swap(1_014_000))
    assert refused.value.field == "kid"


def test_what_an_operator_rejected_stays_aside(room: Room) -> None:
    chain = begin(room, 1_000_000, 1_010_000)
    receipts = room.submit(chain.read(2_500), chain.read(3_500))
    room.decide(receipts[0].log_id or b"", "reject")
    room.declare(swap(1_014_000, 500))
    assert energies(room.current())[1:] == [(7_000, "gap", "operator")]


def test_late_readings_around_a_discontinuity(room: Room) -> None:
    chain = begin(room, 1_000_000, 1_010_000)
    room.declare(swap(1_014_000, 500))
    missing, other, _, end = (chain.read(register) for register in (2_500, 3_500, 4_000, 4_500))
    room.submit(end)
    room.tick(900)
    assert energies(room.current())[1:] == [(8_000, "gap", "operator")]
    old = signed(chain.source, other, import_mwh=1_012_000)
    assert outcomes(room.submit(old)) == ["register-fell"]
    assert outcomes(room.submit(missing)) == ["late"]
    assert energies(room.current())[1:] == [(6_000, "ok", "operator"), (2_000, "gap", "device")]


def test_what_followed_a_released_reading_is_judged_again(room: Room) -> None:
    chain = begin(room, 1_000_000, 1_010_000)
    receipts = room.submit(*(chain.read(register) for register in (2_500, 7_500, 7_400, 9_500)))
    assert outcomes(receipts) == ["register-fell"] * 4
    room.decide(receipts[0].log_id or b"", "release")
    assert energies(room.current())[1:] == [(5_000, "ok", "operator"), (2_000, "gap", "device")]
    with room.store.read() as read:
        settled = [decision_of(read, receipt.log_id or b"") is not None for receipt in receipts]
    assert settled == [True, True, False, True]
    room.restart()
    assert outcomes(room.submit(chain.read(9_700))) == ["admitted"]


class Break(NamedTuple):
    kind: str
    before: int | None
    after: int
    lost: int


@settings(max_examples=10)
@given(st.data())
def test_any_mixture_conserves_what_was_declared(data: st.DataObject) -> None:
    """Σ of the records is Σ of the segments: each register from where it began to where it was declared to end."""
    interval_s = data.draw(st.sampled_from([60, 120]))
    steps = st.integers(0, 30_000)
    with tempfile.TemporaryDirectory() as folder:
        room = Room(Path(folder))
        try:
            chain = begin(room, register := data.draw(st.integers(10**6, 10**7)), interval_s=interval_s)
            counted = 0
            for _ in range(data.draw(st.integers(1, 3))):
                # Two slots at least between two breaks, so that each lies in a record of its own.
                items = []
                for step in data.draw(st.lists(steps, min_size=4, max_size=5)):
                    register, counted = register + step, counted + step
                    items.append(chain.read(register))
                assert set(outcomes(room.submit(*items))) == {"admitted"}
                unread, kind = data.draw(steps), data.draw(st.sampled_from(KINDS))
                before: int | None = register + unread
                if kind == RESET and data.draw(st.booleans()):
                    before, unread = None, 0
                after = 0 if kind != SWAP else data.draw(st.integers(0, register // 2))
                follow = [after + (first := data.draw(steps)), after + first + data.draw(steps)]
                counted, items = counted + unread + follow[1] - after, []
                # What shows no less than the old register did not fall: it would be admitted, and stand.
                is_beforehand = follow[1] >= register or data.draw(st.booleans())
                if is_beforehand:
                    room.declare(swap(before, after, kind))
                for register in follow:
                    items.append(chain.read(register))
                    room.submit(items[-1])
                    if data.draw(st.integers(0, 3)) == 0:
                        room.restart()
                if not is_beforehand:
                    room.declare(swap(before, after, kind))
                assert outcomes(room.submit(*items)) == ["duplicate", "duplicate"]
            while len(room.current()) < 1 or room.current()[-1].end_s != NOW + 60 * (len(chain.items) - 1):
                assert outcomes(room.submit(chain.read(register))) == ["admitted"]
            assert sum(record.energy_mwh for record in room.current()) == counted
            assert fields(chain.items[-1]).import_mwh == register
            room.check()
        finally:
            room.close()


def test_a_stranger_can_check_it(room: Room) -> None:
    """The bundle carries the statement, the reading before it, and the parts in place of what they superseded."""
    chain = begin(room, 1_000_000, 1_010_000, interval_s=120)
    room.declare(swap(1_014_000, 500))
    items = [chain.read(2_500 + 1_000 * place) for place in range(7)]
    room.submit(items[0], items[-1])
    room.tick(900)
    superseded = room.current_rows()
    room.submit(*items[1:6])
    room.flush()
    assert {record.status for record in room.current()} == {"ok"}
    with room.store.read() as read:
        whole = parse_bundle(build_bundle(read, path=PATH, from_s=NOW, to_s=NOW + 480))
        alone = parse_bundle(record_bundle(read, superseded[-1]))
    assert [leaf.body for leaf in whole.records] == [row.body for row in room.current_rows()]
    assert len(alone.records) > 1
    assert {leaf.index for leaf in alone.records} < {leaf.index for leaf in whole.records}
    for bundle in (whole, alone):
        verdicts = verify(bundle, parse_trust(TRUST, no_file))
        words = [verdicts.authentic.word, verdicts.included.word, verdicts.complete.word]
        assert words == ["yes", "yes", "yes"], verdicts
    declared = verify(whole, parse_trust(TRUST, no_file)).authentic
    (fact,) = [fact for fact in declared.facts if "declared a meter swap" in fact]
    assert fact.endswith("(import 1.014 to 0.0005 kWh): a test; the meter's rated 20 kW allow it")


def test_a_declaration_beyond_the_rated_power_deceives_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator whose own server does not hold to the rating."""
    room = Room(tmp_path)
    monkeypatch.setattr("wattseal.ingest.gate.is_rated", lambda *_: True)
    chain = begin(room, 1_000_000, 1_010_000)
    room.declare(swap(1_000_000_000_000, 500))
    room.submit(*(chain.read(1_500 + 1_000 * place) for place in range(3)))
    room.flush()
    with room.store.read() as read:
        bundle = parse_bundle(build_bundle(read, path=PATH, from_s=NOW, to_s=NOW + 240))
    answer = verify(bundle, parse_trust(TRUST, no_file)).authentic
    assert (answer.word, "more than the meter's rated 20 kW allow" in answer.reason) == ("no", True)
    report = check_store(room.store, room.guard.read(), SIGNER.verifier)
    assert any("more energy than the meter's rating allows" in finding for finding in report.findings)
    room.close()
