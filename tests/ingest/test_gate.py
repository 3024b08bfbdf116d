from __future__ import annotations

import hashlib

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from wattseal.core.units import MAX_ENERGY_MWH
from wattseal.ingest import gate
from wattseal.ingest.arrival import Arrival
from wattseal.ingest.chain import NO_CHAIN, NOTHING_STORED, Chain, Stored, Terms, Verdict
from wattseal.ingest.gate import judge, needs_lookup, next_held
from wattseal.log.port import DETAIL, HELD, LATE, SET_ASIDE, SET_ASIDE_IN_CHAIN

NOW = 1_760_000_000
KID = bytes(16)
TERMS = Terms(b"serial", NOW - 1_000_000, None, 10_000_000)  # 10 kW
HOLD = 900


def digest(name: object) -> bytes:
    return hashlib.sha256(repr(name).encode()).digest()


def arrival(seq: int, time_s: int | None = None, import_mwh: int | None = None, **changes: object) -> Arrival:
    """The reading with that seq of a chain of one epoch, a minute and 1 Wh apart; `changes` replace fields."""
    regular = Arrival(
        KID,
        "m",
        0,
        seq,
        NOW + 60 * seq if time_s is None else time_s,
        1_000_000 + 1_000 * seq if import_mwh is None else import_mwh,
        0,
        digest(seq),
        digest(seq - 1),
        b"serial",
        from_source=False,
        profile=None,
    )
    return regular._replace(**changes)  # type: ignore[arg-type]  # names and types are the caller's


def judged(chain: Chain, item: Arrival, stored: Stored = NOTHING_STORED, terms: Terms = TERMS) -> Verdict:
    return judge(chain, item, terms, item.time_s if item.time_s < NOW * 2 else NOW, stored)


def chain_to(seq: int) -> Chain:
    """A chain whose readings up to `seq` were admitted."""
    chain = NO_CHAIN
    for place in range(seq + 1):
        chain = judged(chain, arrival(place)).chain
    return chain


def summary(verdict: Verdict) -> tuple[str, str | None, str | None]:
    return verdict.outcome, verdict.reason, verdict.state


QUARANTINED = "quarantined"
AT_5 = chain_to(4)
HERE = Stored((digest("another"),), in_gap=False)
IN_GAP = Stored((), in_gap=True)


@pytest.mark.parametrize(
    ("chain", "item", "stored", "expected"),
    [
        # Step 4
        (AT_5, arrival(5, serial=b"other"), NOTHING_STORED, (QUARANTINED, "wrong-serial", SET_ASIDE)),
        # Step 5
        (AT_5, arrival(3), Stored((digest(3),), in_gap=False), ("duplicate", None, None)),
        (AT_5, arrival(3), Stored((digest("x"), digest(3)), in_gap=False), ("duplicate", None, None)),
        (AT_5, arrival(3), HERE, (QUARANTINED, "equivocation", SET_ASIDE)),
        (AT_5, arrival(5), HERE, (QUARANTINED, "equivocation", SET_ASIDE)),
        # Step 6
        (AT_5, arrival(5, 1_577_836_799), NOTHING_STORED, (QUARANTINED, "clock-impossible", SET_ASIDE_IN_CHAIN)),
        (NO_CHAIN, arrival(5, 1_577_836_799), NOTHING_STORED, (QUARANTINED, "clock-impossible", SET_ASIDE)),
        (AT_5, arrival(7, 1_577_836_799), NOTHING_STORED, (QUARANTINED, "clock-impossible", SET_ASIDE)),
        (AT_5, arrival(5, NOW - 1_000_001), NOTHING_STORED, (QUARANTINED, "key-not-valid-then", SET_ASIDE_IN_CHAIN)),
        # Step 7
        (NO_CHAIN, arrival(17), NOTHING_STORED, ("admitted", None, DETAIL)),
        # Step 8
        (AT_5, arrival(2), IN_GAP, ("late", None, LATE)),
        (AT_5, arrival(2), NOTHING_STORED, (QUARANTINED, "replay", SET_ASIDE)),
        (AT_5._replace(epoch=1, seq=0), arrival(4), NOTHING_STORED, (QUARANTINED, "replay", SET_ASIDE)),
        # Step 9
        (AT_5, arrival(5, prev=digest("x")), NOTHING_STORED, (QUARANTINED, "broken-chain", SET_ASIDE)),
        (AT_5, arrival(6), NOTHING_STORED, ("held", None, HELD)),
        (AT_5, arrival(0, NOW + 300, epoch=1, prev=digest("x")), NOTHING_STORED, ("held", None, HELD)),
        (AT_5, arrival(1, NOW + 300, epoch=1, prev=AT_5.digest), NOTHING_STORED, ("held", None, HELD)),
        # Step 10
        (AT_5, arrival(5, NOW + 240), NOTHING_STORED, (QUARANTINED, "clock-backwards", SET_ASIDE_IN_CHAIN)),
        (AT_5, arrival(5, NOW + 239), NOTHING_STORED, (QUARANTINED, "clock-backwards", SET_ASIDE_IN_CHAIN)),
        (AT_5, arrival(5, None, 1_003_999), NOTHING_STORED, (QUARANTINED, "register-fell", SET_ASIDE_IN_CHAIN)),
        (
            AT_5._replace(export_mwh=1),
            arrival(5),
            NOTHING_STORED,
            (QUARANTINED, "register-fell", SET_ASIDE_IN_CHAIN),
        ),
        # 10 kW for 60 s are 166.6 Wh; with 10 % and 1 Wh, 184,333 mWh.
        (AT_5, arrival(5, None, 1_004_000 + 184_333), NOTHING_STORED, ("admitted", None, DETAIL)),
        (
            AT_5,
            arrival(5, None, 1_004_000 + 184_334),
            NOTHING_STORED,
            (QUARANTINED, "rate-impossible", SET_ASIDE_IN_CHAIN),
        ),
        (
            AT_5,
            arrival(5, export_mwh=184_334),
            NOTHING_STORED,
            (QUARANTINED, "rate-impossible", SET_ASIDE_IN_CHAIN),
        ),
        (AT_5, arrival(5, profile=(60, 1_000, 0)), NOTHING_STORED, ("admitted", None, DETAIL)),
        *(
            (
                AT_5,
                arrival(5, profile=profile),
                NOTHING_STORED,
                (QUARANTINED, "profile-mismatch", SET_ASIDE_IN_CHAIN),
            )
            for profile in ((59, 1_000, 0), (60, 999, 0), (60, 1_000, 1))
        ),
        # Step 11
        (AT_5, arrival(5), NOTHING_STORED, ("admitted", None, DETAIL)),
        (AT_5, arrival(0, NOW + 300, 1_010_000, epoch=7, prev=AT_5.digest), NOTHING_STORED, ("admitted", None, DETAIL)),
    ],
)
def test_the_table(chain: Chain, item: Arrival, stored: Stored, expected: tuple[str, str | None, str | None]) -> None:
    assert summary(judged(chain, item, stored)) == expected


@pytest.mark.parametrize(
    ("item", "stored", "reason"),
    [
        # Each breaks the rule of its own step and of all later ones: the first step decides.
        (arrival(5, 1, 0, serial=b"x", prev=b""), HERE, "wrong-serial"),
        (arrival(5, 1, 0, prev=b""), HERE, "equivocation"),
        (arrival(5, 1, 0, prev=b""), NOTHING_STORED, "clock-impossible"),
        (arrival(5, NOW - 1_000_001, 0, prev=b""), NOTHING_STORED, "key-not-valid-then"),
        (arrival(2, NOW, 0), NOTHING_STORED, "replay"),
        (arrival(5, NOW, 0, prev=b""), NOTHING_STORED, "broken-chain"),
        (arrival(5, NOW, 0, profile=(1, 1, 1)), NOTHING_STORED, "clock-backwards"),
        (arrival(5, None, 0, profile=(1, 1, 1)), NOTHING_STORED, "register-fell"),
        (arrival(5, None, 2**52, profile=(1, 1, 1)), NOTHING_STORED, "rate-impossible"),
    ],
)
def test_the_order(item: Arrival, stored: Stored, reason: str) -> None:
    assert judged(AT_5, item, stored).reason == reason


def test_the_clock_is_compared_with_the_receipt() -> None:
    assert judge(AT_5, arrival(5, NOW + 1_000), TERMS, NOW + 700).outcome == "admitted"
    assert judge(AT_5, arrival(5, NOW + 1_000), TERMS, NOW + 699).reason == "clock-impossible"


def test_a_key_counts_until_its_end() -> None:
    terms = TERMS._replace(valid_until_s=NOW + 300)
    assert judge(AT_5, arrival(5, NOW + 299), terms, NOW + 300).outcome == "admitted"
    assert judge(AT_5, arrival(5, NOW + 300), terms, NOW + 300).reason == "key-not-valid-then"


def test_without_a_rating_only_the_impossible_is_refused() -> None:
    terms = TERMS._replace(rated_power_mw=None)
    most = AT_5.import_mwh + MAX_ENERGY_MWH
    assert judged(AT_5, arrival(5, None, most), terms=terms).outcome == "admitted"
    assert judged(AT_5, arrival(5, None, most + 1), terms=terms).reason == "rate-impossible"


def test_what_is_set_aside_in_the_chain_satisfies_the_next_prev_but_not_the_registers() -> None:
    fell = judged(AT_5, arrival(5, None, 0)).chain
    assert (fell.seq, fell.digest, fell.import_mwh) == (5, digest(5), AT_5.import_mwh)
    after = judged(fell, arrival(6))
    assert after.outcome == "admitted"
    assert not after.bridged


@pytest.mark.parametrize(
    "item",
    [
        arrival(5, serial=b"x"),
        arrival(2),
        arrival(5, prev=b""),
        arrival(7, 1),
        arrival(6),
    ],
)
def test_what_is_not_next_advances_nothing(item: Arrival) -> None:
    after = judged(AT_5, item).chain
    assert after[:9] == AT_5[:9]
    assert (after.known_epoch, after.known_seq) >= (item.epoch, item.seq)


def test_after_a_quarantined_reading_the_profile_counts_from_it() -> None:
    fell = judged(AT_5, arrival(5, None, 0)).chain
    regular = arrival(6)
    assert judged(fell, regular._replace(profile=(60, 1_006_000, 0))).outcome == "admitted"
    assert judged(fell, regular._replace(profile=(120, 2_000, 0))).reason == "profile-mismatch"


def held(chain: Chain, *seqs: int, received_s: int = NOW) -> Chain:
    for seq in seqs:
        verdict = judge(chain, arrival(seq, NOW + seq), TERMS, received_s)
        assert verdict.outcome == "held"
        chain = verdict.chain
    return chain


def drained(chain: Chain, now_s: int, terms: Terms = TERMS) -> tuple[Chain, list[tuple[int, str, str | None, bool]]]:
    steps = []
    while (step := next_held(chain, terms, now_s, HOLD)) is not None:
        first, verdict = step
        chain = verdict.chain
        steps.append((first.arrival.seq, verdict.outcome, verdict.reason, verdict.bridged))
    return chain, steps


BASE = chain_to(0)


def test_held_readings_wait_for_the_missing_one() -> None:
    chain = held(BASE, 3, 2)
    assert drained(chain, NOW + HOLD - 1) == (chain, [])
    assert gate.next_release_s(chain, HOLD) == NOW + HOLD
    chain = judge(chain, arrival(1, NOW + 1), TERMS, NOW + 10).chain
    chain, steps = drained(chain, NOW + 10)
    assert steps == [(2, "admitted", None, False), (3, "admitted", None, False)]
    assert gate.next_release_s(chain, HOLD) is None


def test_after_gap_hold_they_are_admitted_across_the_gap() -> None:
    _, steps = drained(held(BASE, 3, 2), NOW + HOLD)
    assert steps == [(2, "admitted", None, True), (3, "admitted", None, False)]


def test_a_second_gap_waits_for_its_own_time() -> None:
    chain = held(held(BASE, 2), 4, received_s=NOW + 100)
    chain, steps = drained(chain, NOW + HOLD)
    assert steps == [(2, "admitted", None, True)]
    assert gate.next_release_s(chain, HOLD) == NOW + 100 + HOLD
    assert drained(chain, NOW + 100 + HOLD)[1] == [(4, "admitted", None, True)]


def test_a_held_reading_with_another_prev_is_a_broken_chain() -> None:
    wrong = judge(BASE, arrival(2, NOW + 2, prev=b""), TERMS, NOW).chain
    chain = judge(wrong, arrival(1, NOW + 1), TERMS, NOW).chain
    assert drained(chain, NOW)[1] == [(2, "quarantined", "broken-chain", False)]


def test_a_held_reading_is_checked_as_any_other() -> None:
    fell = judge(BASE, arrival(2, NOW + 2, 0), TERMS, NOW).chain
    assert drained(fell, NOW + HOLD)[1] == [(2, "quarantined", "register-fell", False)]
    chain = judge(fell, arrival(1, NOW + 1), TERMS, NOW).chain
    chain, steps = drained(chain, NOW)
    assert steps == [(2, "quarantined", "register-fell", False)]
    assert (chain.seq, chain.import_mwh) == (2, 1_001_000)


def test_a_held_reading_that_the_chain_passed_is_a_replay() -> None:
    chain = held(BASE, 5)
    chain = judge(chain, arrival(0, NOW + 10, epoch=1, digest=digest("boot"), prev=BASE.digest), TERMS, NOW + 10).chain
    assert drained(chain, NOW + 10)[1] == [(5, "quarantined", "replay", False)]


def test_a_boot_whose_prev_is_missing_waits() -> None:
    boot = arrival(0, NOW + 10, 1_002_000, epoch=1, digest=digest("boot"), prev=digest(1))
    chain = judge(BASE, boot, TERMS, NOW + 10).chain
    assert len(chain.held) == 1
    chain = judge(chain, arrival(1, NOW + 1), TERMS, NOW + 10).chain
    assert drained(chain, NOW + 10)[1] == [(0, "admitted", None, False)]


def test_too_many_held_readings_are_not_held_any_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "MAX_HELD", 3)
    chain = held(BASE, 2, 3, 4)
    assert drained(chain, NOW)[1] == []
    assert drained(held(chain, 6), NOW)[1][:3] == [
        (2, "admitted", None, True),
        (3, "admitted", None, False),
        (4, "admitted", None, False),
    ]


def test_a_lookup_is_needed_where_something_may_be_stored() -> None:
    assert not needs_lookup(NO_CHAIN, arrival(0))
    assert not needs_lookup(AT_5, arrival(5))
    assert needs_lookup(AT_5, arrival(4))
    waiting = held(BASE, 5)
    assert needs_lookup(waiting, arrival(1))
    assert needs_lookup(waiting, arrival(5))
    assert not needs_lookup(waiting, arrival(6))
    aside = judged(NO_CHAIN, arrival(9, 1)).chain
    assert needs_lookup(aside, arrival(9))


def test_a_released_reading_joins_only_as_the_latest() -> None:
    fell = judged(AT_5, arrival(5, None, 0)).chain
    verdict = gate.judge_released(fell, arrival(5, None, 0), TERMS, NOW)
    assert verdict is not None
    assert (verdict.outcome, verdict.chain.import_mwh, verdict.bridged) == ("admitted", 0, True)
    assert gate.judge_released(judged(fell, arrival(6)).chain, arrival(5, None, 0), TERMS, NOW) is None
    assert gate.judge_released(AT_5, arrival(5, NOW + 240), TERMS, NOW) is None
    assert gate.judge_released(AT_5, arrival(3, NOW + 900, digest=digest("x")), TERMS, NOW) is None
    assert gate.judge_released(NO_CHAIN, arrival(3), TERMS, NOW) is not None


def test_a_record_never_holds_more_than_it_can_carry() -> None:
    start = arrival(0, NOW, 0)
    assert gate.overflows(AT_5, arrival(1, NOW + 3_600, MAX_ENERGY_MWH), start) is None
    for end in (
        arrival(1, NOW + 3_600, MAX_ENERGY_MWH + 1),
        arrival(1, NOW + 3_599, MAX_ENERGY_MWH),
        arrival(1, NOW + 3_600, 0, export_mwh=MAX_ENERGY_MWH + 1),
    ):
        verdict = gate.overflows(AT_5, end, start)
        assert verdict is not None
        assert verdict.reason == "rate-impossible"


@settings(max_examples=300)
@given(st.data())
def test_the_short_way_leads_where_the_table_does(data: st.DataObject) -> None:
    def one_of(*values: object) -> object:
        return data.draw(st.sampled_from(values))

    chains = (NO_CHAIN, BASE, AT_5, AT_5, AT_5._replace(export_mwh=1), AT_5._replace(epoch=2))
    chain = data.draw(st.sampled_from(chains))
    item = arrival(data.draw(st.sampled_from([chain.seq + 1, 0, 3, 7])))
    changes = {
        "epoch": one_of(0, 0, 1, 2),
        "time_s": one_of(item.time_s, NOW + 239, NOW + 240, NOW + 241, 1_577_836_799, NOW - 1_000_001, NOW + 10**6),
        "import_mwh": one_of(item.import_mwh, 0, 1_003_999, 1_004_000, 1_188_333, 1_188_334, 2**53 - 1),
        "export_mwh": one_of(0, 0, 1, 184_334),
        "prev": one_of(item.prev, item.prev, b"", digest(3)),
        "serial": one_of(b"serial", b"serial", b"serial", b"other"),
        "profile": one_of(None, None, (60, 1_000, 0)),
    }
    for name in data.draw(st.sets(st.sampled_from(sorted(changes)), max_size=3)):
        item = item._replace(**{name: changes[name]})  # type: ignore[arg-type]  # of that field's type
    stored = data.draw(st.sampled_from([NOTHING_STORED, NOTHING_STORED, HERE, IN_GAP]))
    limits: dict[str, object] = {"rated_power_mw": None, "valid_until_s": NOW + 300, "valid_from_s": NOW + 290}
    name = data.draw(st.sampled_from(["serial", *limits]))
    terms = TERMS._replace(**{name: limits.get(name, b"serial")})  # type: ignore[arg-type]  # as above
    received_s = data.draw(st.sampled_from([NOW, NOW + 10**6]))
    short = judge(chain, item, terms, received_s, stored)
    assert short == gate.judge_by_table(chain, item, terms, received_s, stored)
    event(short.reason or short.outcome)
