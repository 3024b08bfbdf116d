from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.ingest.room import NOW, OPERATOR, Room, fields, interval, meter, signed
from wattseal.cli.quarantine import WORDS
from wattseal.core.note import open_note
from wattseal.core.reading import parse_envelope
from wattseal.core.refusal import Refusal
from wattseal.core.statement import parse_decision, statement_text
from wattseal.ingest.decision import released_digests
from wattseal.ingest.releasable import RELEASABLE, check_releasable
from wattseal.log.releases import decision_of
from wattseal.log.salts import SaltSource
from wattseal.simulate.fleet import SimulatedMeter


def with_a_fall(room: Room, *, then: int = 0) -> tuple[SimulatedMeter, list[bytes], bytes]:
    """Two good readings, one whose register fell to 5 kWh, and `then` good ones after it; the id of its quarantine."""
    source = meter()
    room.enrol(source)
    items = [source.read(NOW + 60 * place) for place in range(2)]
    items.append(signed(source, source.read(NOW + 120), import_mwh=5_000_000))
    for place in range(3, 3 + then):
        item = source.read(NOW + 60 * place)
        items.append(signed(source, item, prev=parse_envelope(items[-1]).digest))
    room.clock.now_s = NOW + 600
    receipts = room.submit(*items)
    assert [receipt.reason for receipt in receipts] == [None, None, "register-fell", *[None] * then]
    return source, items, receipts[2].log_id or b""


def next_of(source: SimulatedMeter, items: list[bytes], place: int, import_mwh: int) -> bytes:
    item = source.read(NOW + 60 * place)
    items.append(signed(source, item, prev=parse_envelope(items[-1]).digest, import_mwh=import_mwh))
    return items[-1]


def test_a_decision_is_a_signed_entry(room: Room) -> None:
    _, _, subject = with_a_fall(room)
    logged = room.decide(subject, "reject")
    with room.store.read() as read:
        row = read.entries(logged.index, 1)[0]
        raw = read.raw(row.idx)
    assert raw is not None
    decision = parse_decision(row.body)
    with room.store.read() as read:
        quarantined = read.entry_by_id(subject)
        assert quarantined is not None
        assert decision.subject == SaltSource(read.secrets()).entry(quarantined)
        assert decision_of(read, subject) == row
        assert decision_of(read, logged.log_id) is None
    assert (decision.decision, decision.operator) == ("reject", OPERATOR.verifier.name)
    assert (raw[0], row.start_slot, row.end_slot) == (b"", bytes(32), hashlib.sha256(raw[1].encode()).digest())
    opened = open_note(raw[1].encode(), (OPERATOR.verifier,))
    assert opened.text.decode() == statement_text("decision-1", row.body)


def test_a_decision_stands(room: Room) -> None:
    _, _, subject = with_a_fall(room)
    room.decide(subject, "release")
    room.restart()
    for decision in ("release", "reject"):
        with pytest.raises(Refusal) as refused:
            room.decide(subject, decision)
        assert refused.value.field == "subject"
    assert room.schemas().count("decision-1") == 1


def test_only_quarantine_is_decided(room: Room) -> None:
    _, _, subject = with_a_fall(room)
    record = room.rows()[0].entry_id
    for wrong in (bytes(16), record):
        with pytest.raises(Refusal):
            room.decide(wrong, "release")
    with pytest.raises(Refusal):
        room.decide(subject, "perhaps")
    assert room.sequencer.halted is None
    room.decide(subject, "reject")


@pytest.mark.parametrize("restarts", [False, True])
def test_a_released_fall_is_a_new_baseline(room: Room, *, restarts: bool) -> None:
    source, items, subject = with_a_fall(room)
    before = len(room.records())
    room.decide(subject, "release")
    assert len(room.records()) == before  # nothing is invented across the fall
    if restarts:
        room.restart()
    receipts = room.submit(next_of(source, items, 3, 5_010_000), next_of(source, items, 4, 5_030_000))
    assert [receipt.outcome for receipt in receipts] == ["admitted", "admitted"]
    after = room.records()[before:]
    assert [(record.energy_mwh, record.evidence.kind) for record in after] == [(10_000, "operator"), (20_000, "device")]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_rejected_fall_stays_in_the_chain_and_out_of_the_registers(room: Room, *, restarts: bool) -> None:
    source, items, subject = with_a_fall(room)
    room.decide(subject, "reject")
    if restarts:
        room.restart()
    good = fields(items[1]).import_mwh + 1_000
    assert room.submit(next_of(source, items, 3, good))[0].outcome == "admitted"
    record = room.records()[-1]
    assert (record.energy_mwh, record.status, record.evidence.kind) == (1_000, "gap", "device")


def test_a_released_reading_that_was_passed_stays_aside(room: Room) -> None:
    _, items, subject = with_a_fall(room, then=1)
    before = room.records()
    room.decide(subject, "release")
    assert room.records() == before
    with room.store.read() as read:
        assert read.set_aside_by_digest(parse_envelope(items[2]).digest) is not None


def test_released_energy_is_a_record_of_the_operator(room: Room) -> None:
    source = meter()
    room.enrol(source)
    room.clock.now_s = NOW + 600
    first = source.read(NOW)
    much = signed(source, source.read(NOW + 60), import_mwh=fields(first).import_mwh + 50_000_000)
    receipts = room.submit(first, much)
    assert receipts[1].reason == "rate-impossible"
    room.decide(receipts[1].log_id or b"", "release")
    record = room.records()[0]
    assert (record.energy_mwh, record.evidence.kind, record.status) == (50_000_000, "operator", "gap")


def test_a_release_lets_held_readings_go(room: Room) -> None:
    source = meter()
    room.enrol(source)
    room.clock.now_s = NOW + 600
    first = source.read(NOW)
    much = signed(source, source.read(NOW + 120), seq=2, import_mwh=fields(first).import_mwh + 50_000_000)
    assert [receipt.outcome for receipt in room.submit(first, much)] == ["admitted", "held"]
    room.tick(900)
    after = signed(source, much, seq=3, prev=parse_envelope(much).digest, time_s=NOW + 180)
    assert room.submit(after)[0].outcome == "held"
    with room.store.read() as read:
        quarantined = read.entries_of_schema("quarantine-1")[0]
    room.decide(quarantined.entry_id, "release")
    assert [record.evidence.kind for record in room.records()] == ["operator", "operator"]


def test_what_follows_no_more_leaves_the_chain(room: Room) -> None:
    """A device that booted twice and named the same reading both times: one of the two can follow it."""
    source = meter()
    room.enrol(source)
    room.clock.now_s = NOW + 600
    first = source.read(NOW)
    start, boot = fields(first), source.read(NOW + 60)
    much = signed(source, boot, epoch=start.epoch + 1, seq=0, prev=bytes(32), import_mwh=start.import_mwh + 50_000_000)
    less = signed(
        source,
        boot,
        epoch=start.epoch + 2,
        seq=0,
        prev=parse_envelope(first).digest,
        time_s=NOW + 120,
        import_mwh=start.import_mwh + 40_000_000,
    )
    assert [receipt.outcome for receipt in room.submit(first, much)] == ["admitted", "held"]
    room.tick(900)
    assert room.submit(less)[0].reason == "rate-impossible"
    with room.store.read() as read:
        subject = read.entries_of_schema("quarantine-1")[0].entry_id
    room.decide(subject, "release")
    assert [record.evidence.kind for record in room.records()] == ["operator"]
    room.check()
    room.restart()
    after = signed(source, boot, epoch=start.epoch + 1, seq=1, prev=parse_envelope(much).digest, time_s=NOW + 180)
    after = signed(source, after, import_mwh=start.import_mwh + 50_001_000)
    assert room.submit(after)[0].outcome == "admitted"
    room.check()


def broken_after(first: bytes) -> dict[str, dict[str, object]]:
    """What makes the reading after `first` one that no verifier can follow, by the reason of its quarantine."""
    return {
        "unknown-meter": {"meter_id": "other"},
        "wrong-serial": {"serial": b"other"},
        "key-not-valid-then": {"time_s": NOW - 200_000},
        "clock-impossible": {"time_s": NOW + 1_000_000},
        "clock-backwards": {"time_s": NOW},
        "equivocation": {"seq": fields(first).seq, "import_mwh": 5},
        "broken-chain": {"prev": bytes(32)},
    }


@pytest.mark.parametrize(
    "reason",
    [
        "unknown-meter",
        "wrong-serial",
        "key-not-valid-then",
        "clock-impossible",
        "clock-backwards",
        "equivocation",
        "broken-chain",
    ],
)
def test_what_nobody_could_verify_is_not_released(room: Room, reason: str) -> None:
    source = meter()
    room.enrol(source)
    room.clock.now_s = NOW + 600
    first = source.read(NOW)
    receipts = room.submit(first, signed(source, source.read(NOW + 60), **broken_after(first)[reason]))
    assert receipts[1].reason == reason
    size = len(room.schemas())
    with pytest.raises(Refusal) as refused:
        room.decide(receipts[1].log_id or b"", "release")
    assert (refused.value.field, refused.value.reason) == ("decision", f"must not be release: {RELEASABLE[reason]}")
    assert (len(room.schemas()), room.sequencer.halted) == (size, None)
    room.decide(receipts[1].log_id or b"", "reject")
    room.check()


def test_a_replay_is_not_released(room: Room) -> None:
    source = meter()
    early = source.read(NOW)
    room.enrol(source)
    room.clock.now_s = NOW + 600
    room.submit(source.read(NOW + 60))
    receipt = room.submit(early)[0]
    assert receipt.reason == "replay"
    with pytest.raises(Refusal):
        room.decide(receipt.log_id or b"", "release")


def test_what_is_counted_already_is_not_released(room: Room) -> None:
    """Its reading is in the chain as it is, with or without a restart: a release could only change its records."""
    room.clock.now_s = NOW + 600
    room.report(interval(NOW, NOW + 60, site_id="site", iot_device_id="device-m1", meter_id="m1"))
    source = meter()
    room.enrol(source)
    receipts = room.submit(*(source.read(NOW + 60 * place) for place in range(2)))
    assert receipts[1].reason == "overlap"
    with pytest.raises(Refusal):
        room.decide(receipts[1].log_id or b"", "release")


@pytest.mark.parametrize("restarts", [False, True])
def test_what_did_not_join_is_not_released(room: Room, *, restarts: bool) -> None:
    _, _, subject = with_a_fall(room, then=1)
    room.decide(subject, "release")
    if restarts:
        room.restart()
    with room.store.read() as read:
        assert released_digests(read) == set()


def test_each_reason_can_be_released_or_says_why_not() -> None:
    assert set(RELEASABLE) == set(WORDS)
    pages = [Path(__file__).parents[2] / "docs" / page for page in ("operate/doubtful-data.md", "spec/reading.md")]
    for page in pages:
        text = page.read_text()
        assert [reason for reason in RELEASABLE if f"`{reason}`" not in text] == []
    with pytest.raises(Refusal):
        check_releasable("some-reason-of-a-later-version")
