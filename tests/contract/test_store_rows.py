"""What each method of a store's Read answers."""

from __future__ import annotations

import pytest

from tests.contract.stores import START, attestation, batch, digest, entry, reading, record, token
from wattseal.log.port import (
    BOUNDARY,
    DETAIL,
    HELD,
    LATE,
    SET_ASIDE,
    SET_ASIDE_IN_CHAIN,
    ChainRow,
    EntryRow,
    InboxRow,
    MeterRow,
    ReadingRow,
    RecordFilter,
    SecretRow,
    Store,
)

FOREVER = 2**40


def test_an_empty_store_answers(store: Store) -> None:
    with store.read() as read:
        assert read.size() == 0
        assert read.meta("origin") is None
        assert read.tile(0, 0) is None
        assert read.entries(0, 10) == []
        assert read.entry_by_id(bytes(16)) is None
        assert read.entries_of_schema("meter-1") == []
        assert read.records(RecordFilter()) == []
        assert read.records(RecordFilter(site_id="PLANT-01")) == []
        assert read.records_of_meter(1, 0, FOREVER) == []
        assert read.disclosed_totals(0, 100, frozenset({1})) == []
        assert not any((read.meters(), read.chains(), read.secrets(), read.batches(), read.batches(newest_first=True)))
        assert not any((read.attestations(), read.blocks(), read.tokens(), read.inbox()))
        assert read.reading(1, 1, 1) == read.readings_after(1, 0, 0) == read.chain_tail(1) == []
        assert read.set_aside_by_digest(bytes(32)) is None
        assert read.unchained_readings() == []
        assert not list(read.check_indexes())
        assert read.raw(0) is None
        assert not any((read.batch(0), read.batch_of_index(0)))
        assert read.token(bytes(32)) is None
        assert set(read.counts().values()) == {0}


def test_rows_come_back_as_they_went_in(store: Store) -> None:
    largest = 2**63 - 1
    rows = [
        entry(0, body=b"", secret_no=0, start_slot=bytes(32), end_slot=bytes(32)),
        entry(1, "quarantine-1", meter_no=3, kind="device", start_s=5),
        record(2, 3, export_mwh=0, price_msat=None, amount_msat=None, status="gap", body=bytes(range(256)) * 256),
        record(3, 3, energy_mwh=largest, received_s=-1),
    ]
    readings = [
        reading(0, bridged=True, state=HELD, cose=bytes(4096), import_mwh=2**53 - 1),
        reading(2**32 - 1, None, 2**32 - 1, state=SET_ASIDE),
    ]
    with store.write() as tx:
        tx.add_entries(rows)
        tx.add_readings(readings)
        assert tx.entries(0, 4) == rows  # the writer reads what it has written
    with store.read() as read:
        assert read.entries(0, 4) == rows
        assert [read.entry_by_id(row.entry_id) for row in rows] == rows
        assert all(type(row) is EntryRow for row in read.entries(0, 4))
        assert read.reading(1, 1, 0) == readings[:1]
        assert read.set_aside_by_digest(readings[1].digest) == readings[1]
        assert type(read.reading(1, 1, 0)[0]) is ReadingRow
        assert read.reading(1, 1, 0)[0].bridged is True


def test_numbers_are_dense_from_one(store: Store) -> None:
    with store.write() as tx:
        assert [tx.add_meter("s", "d", f"m{number}") for number in range(3)] == [1, 2, 3]
        assert [tx.add_chain(kid, meter_no) for kid in (b"a", b"b") for meter_no in (1, 2)] == [1, 2, 3, 4]
        assert tx.add_secret(None, 0, None, bytes(32)) == 1
        assert tx.add_secret(2, 5, 9, digest("secret")) == 2
    with pytest.raises(ZeroDivisionError), store.write() as tx:
        assert tx.add_meter("s", "d", "undone") // 0
    with store.write() as tx:
        assert tx.add_meter("s", "d", "m3") == 4
    with store.read() as read:
        assert read.meters() == [MeterRow(number + 1, "s", "d", f"m{number}") for number in range(4)]
        assert read.chains()[1:3] == [ChainRow(2, b"a", 2), ChainRow(3, b"b", 1)]
        assert read.secrets() == [SecretRow(1, None, 0, None, bytes(32)), SecretRow(2, 2, 5, 9, digest("secret"))]


def test_entries_of_a_schema(store: Store) -> None:
    schemas = ["meter-1", "emlog-1.1", "key-1", "meter-1", "batch-1", "emlog-1.1", "meter-1"]
    rows = [record(idx) if schema == "emlog-1.1" else entry(idx, schema) for idx, schema in enumerate(schemas)]
    with store.write() as tx:
        tx.add_entries(rows)
    with store.read() as read:
        assert [row.idx for row in read.entries_of_schema("meter-1")] == [0, 3, 6]
        assert [row.idx for row in read.entries_of_schema("meter-1", 0)] == [3, 6]
        assert [row.idx for row in read.entries_of_schema("meter-1", 0, 1)] == [3]
        assert read.entries_of_schema("tariff-1") == []
        with pytest.raises(ValueError, match="records"):
            read.entries_of_schema("emlog-1.1")


# --- Records ----------------------------------------------------------------------------------------------------------


def test_records_of_a_meter_that_overlap_a_time(store: Store) -> None:
    """One short, one long, one that came late, one of another meter, and a quarantined reading that is no record."""
    with store.write() as tx:
        tx.add_entries(
            [
                record(0, 1, 1_000, 300),
                record(1, 1, 1_300, 100_000),
                record(2, 2, 1_000, 300),
                entry(3, "quarantine-1", meter_no=1, start_s=1_100, end_s=1_200),
                record(4, 1, 700, 300),
                record(5, 1, 101_300, 1),
            ]
        )
    with store.read() as read:

        def found(from_s: int, to_s: int, meter_no: int = 1) -> list[int]:
            return [row.idx for row in read.records_of_meter(meter_no, from_s, to_s)]

        assert found(0, FOREVER) == [4, 0, 1, 5]
        assert found(0, FOREVER, 2) == [2]
        assert found(0, FOREVER, 3) == []
        assert found(1_000, 1_300) == [0]
        assert found(999, 1_301) == [4, 0, 1]
        assert found(1_299, 1_300) == [0]
        assert found(50_000, 50_001) == [1]
        assert found(101_299, 101_301) == [1, 5]
        assert found(101_301, FOREVER) == []
        assert found(700, 700) == found(1_100, 1_000) == []


@pytest.fixture
def filled(store: Store) -> list[EntryRow]:
    """3,000 records of 100 meters of two sites, some out of order in time, with entries between them."""
    rows: list[EntryRow] = []
    statuses = ["ok"] * 17 + ["gap", "estimated", "error"]
    with store.write() as tx:
        for number in range(100):
            tx.add_meter(f"SITE-{number % 2}", f"gw-{number % 10}", f"MTR-{number}")
        for idx in range(3_000):
            meter_no = idx * 37 % 100 + 1
            start = START + (idx // 100) * 300 - (1_000_000 if idx % 500 > 480 else 0)
            is_record = idx % 50 != 7
            rows.append(
                record(idx, meter_no, start, status=statuses[idx % 20]) if is_record else entry(idx, "quarantine-1")
            )
    for first in range(0, len(rows), 130):
        with store.write() as tx:
            tx.add_entries(rows[first : first + 130])
    return rows


def chosen(rows: list[EntryRow], wanted: RecordFilter) -> list[EntryRow]:
    """What the filter says, said plainly."""

    def is_chosen(row: EntryRow) -> bool:
        number = (row.meter_no or 0) - 1
        cursor = wanted.after_idx
        return (
            row.schema == "emlog-1.1"
            and row.start_s is not None
            and wanted.site_id in {None, f"SITE-{number % 2}"}
            and wanted.iot_device_id in {None, f"gw-{number % 10}"}
            and wanted.meter_id in {None, f"MTR-{number}"}
            and wanted.status in {None, row.status}
            and (wanted.meter_nos is None or row.meter_no in wanted.meter_nos)
            and (wanted.from_s is None or row.start_s >= wanted.from_s)
            and (wanted.to_s is None or row.start_s < wanted.to_s)
            and (row.idx > cursor if not wanted.newest_first else cursor < 0 or row.idx < cursor)
        )

    found = [row for row in rows if is_chosen(row)]
    return (found[::-1] if wanted.newest_first else found)[: max(wanted.limit, 0)]


WANTED = [
    RecordFilter(),
    RecordFilter(limit=10**6),
    RecordFilter(limit=0),
    RecordFilter(meter_id="MTR-5"),
    RecordFilter(meter_id="MTR-5", limit=7),
    RecordFilter(meter_id="MTR-5", status="ok", limit=9),
    RecordFilter(meter_id="MTR-17", status="gap"),
    RecordFilter(meter_id="unknown"),
    RecordFilter(site_id="SITE-0", iot_device_id="gw-4"),
    RecordFilter(site_id="SITE-0", iot_device_id="gw-5"),
    RecordFilter(site_id="SITE-1"),
    RecordFilter(site_id="SITE-1", status="ok", limit=200),
    RecordFilter(status="ok", limit=1_000),
    RecordFilter(status="gap", limit=20),
    RecordFilter(status="estimated", site_id="SITE-1"),
    RecordFilter(status="unknown"),
    RecordFilter(meter_nos=frozenset()),
    RecordFilter(meter_nos=frozenset({3, 4, 99, 1_000})),
    RecordFilter(meter_nos=frozenset(range(2, 90)), limit=150),
    RecordFilter(meter_nos=frozenset({3, 5}), site_id="SITE-0"),
    RecordFilter(meter_nos=frozenset({4}), site_id="SITE-0"),
]
TIMES = [
    (None, None),
    (START + 1_200, None),
    (None, START + 600),
    (START + 1_500, START + 2_400),
    (START - 1_000_000, START),
    (START + 600, START + 600),
    (START + 3_000, START + 3_300),
]


@pytest.mark.parametrize("newest_first", [False, True])
def test_chosen_records(store: Store, filled: list[EntryRow], newest_first: bool) -> None:
    with store.read() as read:
        for base in WANTED:
            for from_s, to_s in TIMES:
                for cursor in (-1, 0, 700, 1_650, 2_999, 5_000):
                    wanted = base._replace(from_s=from_s, to_s=to_s, after_idx=cursor, newest_first=newest_first)
                    assert read.records(wanted) == chosen(filled, wanted), wanted


@pytest.mark.parametrize("wanted", [RecordFilter(site_id="SITE-0", limit=100), RecordFilter(meter_id="MTR-7", limit=4)])
@pytest.mark.parametrize("newest_first", [False, True])
def test_pages_follow_one_another(
    store: Store, filled: list[EntryRow], wanted: RecordFilter, newest_first: bool
) -> None:
    wanted = wanted._replace(newest_first=newest_first)
    found: list[EntryRow] = []
    with store.read() as read:
        while page := read.records(wanted):
            found += page
            wanted = wanted._replace(after_idx=page[-1].idx)
    assert found == chosen(filled, wanted._replace(after_idx=-1, limit=10**6))


def test_disclosed_totals(store: Store, filled: list[EntryRow]) -> None:
    def totals(first: int, last: int, meters: frozenset[int]) -> list[tuple[int, int, int]]:
        sums: dict[int, tuple[int, int]] = {}
        for row in filled[first : last + 1]:
            if row.schema == "emlog-1.1" and row.meter_no in meters and row.meter_no is not None:
                energy, export = sums.get(row.meter_no, (0, 0))
                sums[row.meter_no] = energy + (row.energy_mwh or 0), export + (row.export_mwh or 0)
        return [(meter_no, *sums[meter_no]) for meter_no in sorted(sums)]

    with store.read() as read:
        for meters in (frozenset({1}), frozenset({5, 9, 1_000}), frozenset(range(1, 101)), frozenset[int]()):
            for first, last in ((0, 2_999), (500, 1_499), (7, 7), (8, 8), (2_990, 9_999)):
                assert read.disclosed_totals(first, last, meters) == totals(first, last, meters)


@pytest.mark.parametrize("others", [0, 100], ids=["few meters", "many meters"])
def test_totals_beyond_64_bits_are_exact(store: Store, others: int) -> None:
    """A device without a rating may claim 10^15 − 1 mWh in each record. That must not stop the log."""
    claim = 10**15 - 1
    with store.write() as tx:
        tx.add_entries([record(idx, 1, energy_mwh=claim, export_mwh=claim) for idx in range(10_000)])
    with store.read() as read:
        meters = frozenset(range(1, 2 + others))
        assert read.disclosed_totals(0, 9_999, meters) == [(1, 10_000 * claim, 10_000 * claim)]


# --- Readings ---------------------------------------------------------------------------------------------------------


def test_readings_of_a_chain(store: Store) -> None:
    equivocation = reading(1, state=SET_ASIDE, digest=digest("other"))
    in_order = [reading(seq) for seq in range(3)] + [reading(seq, epoch=4) for seq in range(2)]
    with store.write() as tx:
        tx.add_readings([in_order[4], in_order[0], reading(0, 2), in_order[1], in_order[3]])
        tx.add_readings([in_order[2], equivocation])
    with store.read() as read:
        assert read.reading(1, 1, 1) == [in_order[1], equivocation]
        assert read.reading(1, 4, 1) == [in_order[4]]
        assert read.reading(2, 1, 1) == read.reading(9, 1, 1) == []
        assert read.readings_after(1, 0, 2**32) == [*in_order[:2], equivocation, *in_order[2:]]
        assert read.readings_after(1, 1, 1) == in_order[2:]
        assert read.readings_after(1, 1, 2) == in_order[3:]
        assert read.readings_after(1, 1, 0, 2) == [in_order[1], equivocation]
        assert read.readings_after(1, 4, 1) == []


@pytest.mark.parametrize("after", [0, 1, 20, 300])
def test_the_tail_of_a_chain(store: Store, after: int) -> None:
    states = [BOUNDARY, DETAIL, BOUNDARY, LATE, *[DETAIL, HELD, SET_ASIDE_IN_CHAIN] * after]
    rows = [reading(seq, state=state) for seq, state in enumerate(states)]
    with store.write() as tx:
        tx.add_readings(rows[::-1])
        tx.add_readings([reading(seq, 2, state=DETAIL) for seq in range(after)])
    with store.read() as read:
        assert read.chain_tail(1) == rows[2:]
        assert read.chain_tail(2) == [reading(seq, 2, state=DETAIL) for seq in range(after)]


def test_readings_of_no_chain(store: Store) -> None:
    lost = [reading(seq, None, state=SET_ASIDE, digest=digest(f"lost {seq}")) for seq in (5, 3, 4)]
    with store.write() as tx:
        tx.add_readings([lost[0], reading(1), lost[1]])
        tx.add_readings([reading(2), lost[2]])
    with store.read() as read:
        assert read.unchained_readings() == lost
        assert read.unchained_readings(1, 1) == lost[1:2]
        assert read.unchained_readings(3) == []


def test_a_store_finds_nothing_wrong_with_its_own_indexes(store: Store) -> None:
    for first in range(0, 60, 20):
        with store.write() as tx:
            tx.add_entries(
                [record(idx, meter_no=1 + idx % 3, start_s=START + 300 * idx) for idx in range(first, first + 20)]
            )
            tx.add_readings([reading(seq) for seq in range(first, first + 20)])
    with store.read() as read:
        assert list(read.check_indexes()) == []


def test_the_state_of_a_reading(store: Store) -> None:
    first, second = reading(5), reading(5, state=SET_ASIDE, digest=digest("other"))
    nowhere = reading(5, None, state=SET_ASIDE_IN_CHAIN, digest=digest("nowhere"))
    with store.write() as tx:
        tx.add_readings([first, second, nowhere])
    with store.write() as tx:
        tx.set_reading_state(second.digest, 1, 1, 5, DETAIL, bridged=True)
    with store.read() as read:
        assert read.reading(1, 1, 5) == [first, second._replace(state=DETAIL, bridged=True)]
        assert read.set_aside_by_digest(first.digest) is None
        assert read.set_aside_by_digest(second.digest) is None
        assert read.set_aside_by_digest(nowhere.digest) == nowhere


# --- Batches, attestations, blocks, access ----------------------------------------------------------------------------


def test_batches(store: Store) -> None:
    rows = [batch(0, 4, 5), batch(1, 6, 10), batch(2, 11, 30)]
    with store.write() as tx:
        for row in rows:
            tx.add_batch(row)
        tx.set_checkpoint(0, "signed")
    rows[0] = rows[0]._replace(checkpoint="signed")
    with store.read() as read:
        assert read.batches() == rows
        assert read.batches(0, 1) == rows[1:2]
        assert read.batches(newest_first=True) == rows[::-1]
        assert read.batches(newest_first=True, limit=1) == rows[2:]
        assert read.batches(2, newest_first=True) == rows[1::-1]
        assert read.batches(0, newest_first=True) == []
        assert [read.batch(number) for number in (0, 2, 3)] == [rows[0], rows[2], None]
        found = {idx: read.batch_of_index(idx) for idx in (3, 4, 5, 6, 10, 11, 30, 31)}
        first, second, third = rows
        assert found == {3: None, 4: first, 5: first, 6: second, 10: second, 11: third, 30: third, 31: None}


def test_attestations(store: Store) -> None:
    with store.write() as tx:
        tx.add_batch(batch(0, 0, 5))
        tx.add_batch(batch(1, 6, 9))
        assert [tx.add_attestation(attestation(number)) for number in (0, 1, 0)] == [1, 2, 3]
    row = attestation(1)._replace(
        attestation_no=2,
        state="final",
        reference="ab" * 32,
        height=7,
        block_hash=digest("block"),
        fee_sat=0,
        evidence="{}",
        changed_s=START + 9,
    )
    with store.write() as tx:
        tx.set_attestation(row)
    with store.read() as read:
        first, third = attestation(0)._replace(attestation_no=1), attestation(0)._replace(attestation_no=3)
        assert read.attestations() == [first, row, third]
        assert read.attestations(0) == [first, third]
        assert read.attestations(state="final") == [row]
        assert read.attestations(0, "final") == []
        assert read.attestations(1, "final") == [row]
        assert read.attestations()[0].simulated is True


def test_tokens_and_the_inbox(store: Store) -> None:
    received = [InboxRow(START + number, "malformed", "192.0.2.1", b"%d" % number) for number in range(7)]
    with store.write() as tx:
        tx.add_token(token("a"))
        for row in received:
            tx.add_inbox(row, keep=5)
    with store.write() as tx:
        tx.revoke_token(token("a").token_hash, 9)
    with store.read() as read:
        assert read.token(token("a").token_hash) == token("a")._replace(revoked_s=9)
        assert read.token(token("b").token_hash) is None
        assert read.inbox() == received[:1:-1]
        assert read.inbox(2) == received[:4:-1]
        assert read.counts()["inbox"] == 5
