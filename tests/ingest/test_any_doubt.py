"""Whatever a meter, the network and an operator do to a chain: what is stored holds together, and can be verified."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ingest.room import KW, NOW, ORIGIN, SIGNER, Room, meter, signed
from tests.ingest.test_any_order import a_room
from wattseal.core.bundle import parse_bundle
from wattseal.core.discontinuity import KINDS, RESET
from wattseal.core.reading import parse_envelope
from wattseal.core.refusal import Refusal
from wattseal.core.trust import parse_trust
from wattseal.core.verify import verify
from wattseal.ingest.decision import released_digests
from wattseal.ingest.declaration import Declaration
from wattseal.ingest.releasable import RELEASABLE, reason_of
from wattseal.ingest.standing import standing_of
from wattseal.log.bundle import record_bundle
from wattseal.log.port import BOUNDARY, DETAIL
from wattseal.simulate.fleet import SimulatedMeter

TRUST = parse_trust(f'version = 1\n[[log]]\norigin = "{ORIGIN}"\nvkey = "{SIGNER.verifier.vkey}"\n', lambda _: b"")


def doubtful(source: SimulatedMeter, data: st.DataObject) -> list[bytes]:
    """Readings of one chain whose registers fall and jump, whose clock is off, some of them signed twice."""
    items: list[bytes] = []
    twins: list[bytes] = []
    register = 1_000_000_000
    for place in range(data.draw(st.integers(3, 9))):
        if place and data.draw(st.integers(0, 6)) == 0:
            source.reboot()
        changes: dict[str, object] = {} if not items else {"prev": parse_envelope(items[-1]).digest}
        match data.draw(st.integers(0, 9)) if items else 9:
            case 0 | 1:
                register = data.draw(st.integers(0, 1_000_000))
            case 2:
                register += 10**10
            case 3:
                changes["time_s"] = NOW + 60 * place + data.draw(st.sampled_from([-120, -60, 600, 1_000_000]))
            case 4:
                changes["prev"] = bytes(32)
            case _:
                register += data.draw(st.integers(0, 300_000))
        item = signed(source, source.read(NOW + 60 * place), import_mwh=register, **changes)
        if items and data.draw(st.integers(0, 5)) == 0:
            twins.append(signed(source, item, import_mwh=register + 1))
        # A device that signs two readings for one place may go on from either.
        goes_on_from_twin = bool(twins) and data.draw(st.integers(0, 1)) == 1
        items.append(twins.pop() if goes_on_from_twin else item)
    return [*items, *twins]


def decide(room: Room, data: st.DataObject) -> None:
    with room.store.read() as read:
        quarantined = read.entries_of_schema("quarantine-1")
    if not quarantined:
        return
    row = data.draw(st.sampled_from(quarantined))
    decision = data.draw(st.sampled_from(["release", "release", "reject"]))
    why_not = RELEASABLE[reason_of(row.body)] if decision == "release" else None
    outcome = "logged"
    try:
        room.decide(row.entry_id, decision)
    except Refusal as refusal:
        outcome = refusal.field  # "subject": it was decided before
    assert outcome in (("logged", "subject") if why_not is None else ("decision", "subject"))


def declare(room: Room, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    with room.store.read() as read:
        used = [row for row in read.chain_tail(1) if row.state in (BOUNDARY, DETAIL)]
    before = used[-1].import_mwh + data.draw(st.sampled_from([0, 1_000, 5_000_000, 10**10])) if used else 0
    after = data.draw(st.sampled_from([0, 500, 1_000_000]))
    is_unread = kind == RESET and data.draw(st.booleans())
    with suppress(Refusal):
        said = Declaration(kind, "site/device-m1/m1", None if is_unread else before, after, None, None, "a test")
        room.declare(said)


@settings(max_examples=200)
@given(st.data())
def test_whatever_is_decided_it_holds_together_and_can_be_verified(data: st.DataObject) -> None:
    source = meter(
        interval_s=data.draw(st.sampled_from([60, 120])), rated_power_mw=data.draw(st.sampled_from([None, 20 * KW]))
    )
    items = doubtful(source, data)
    first, rest = items[0], items[1:]
    with a_room(source) as room:
        room.clock.now_s = NOW + data.draw(st.sampled_from([600, 3_000]))
        room.submit(first)
        queue = data.draw(st.permutations(rest)) if data.draw(st.booleans()) else rest
        queue = [item for item in queue if data.draw(st.integers(0, 6))]
        for _ in range(data.draw(st.integers(2, 14))):
            match data.draw(st.integers(0, 7)):
                case 0:
                    room.restart()
                case 1:
                    room.tick(data.draw(st.sampled_from([-30, 1, 900])))
                case 2:
                    declare(room, data)
                case 3 | 4:
                    decide(room, data)
                case _:
                    part, queue = queue[:3], queue[3:]
                    room.submit(*part)
            _check_memory(room)
        room.tick(2_000)
        room.check()
        _check_bundles(room)


def _check_memory(room: Room) -> None:
    """What is in memory is what a restart would read."""
    memory = room.writer._memory
    with room.store.read() as read:
        for chain in read.chains():
            standing = standing_of(read.chain_tail(chain.chain_no), memory.shifts)
            assert memory.standings.get(read, chain.chain_no) == standing
        assert memory._released == released_digests(read)


def _check_bundles(room: Room) -> None:
    with room.store.read() as read:
        for row in room.rows():
            authentic = verify(parse_bundle(record_bundle(read, row)), TRUST).authentic
            assert authentic.word == "yes", authentic.reason
