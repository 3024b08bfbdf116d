"""The admission gate (docs/spec/reading.md §4): pure, so that one table decides and anyone can replay what it decided.

Steps 1 to 3 (form, key, signature) need nothing but the bytes and a key; workers do them. Here are steps 4 to 11.
A chain is a value: judging a reading gives the chain that follows, which counts once the transaction is durable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from wattseal.core.emlog import MAX_AVERAGE_POWER_MW
from wattseal.core.units import MAX_ENERGY_MWH, SECONDS_PER_HOUR, is_within_rating, kwh_text, rfc3339
from wattseal.ingest.arrival import Arrival
from wattseal.ingest.chain import (
    ADMITTED,
    DUPLICATE,
    HOLD,
    NOTHING_STORED,
    QUARANTINED,
    TOO_LATE,
    Chain,
    Held,
    Stored,
    Terms,
    Verdict,
)
from wattseal.ingest.grid import Open, Shift
from wattseal.ingest.late import contradiction
from wattseal.log.port import DETAIL, HELD, LATE, SET_ASIDE, SET_ASIDE_IN_CHAIN

EARLIEST_S: Final = 1_577_836_800
"""2020-01-01: no clock that was ever set shows an earlier time."""
AHEAD_S: Final = 300
MAX_HELD: Final = 4_096
"""More held readings than this are admitted across their gap at once, so that a chain's memory is bounded."""

Check: TypeAlias = Callable[[Chain, Arrival, Terms, int, Stored], Verdict | None]


def needs_lookup(chain: Chain, arrival: Arrival) -> bool:
    """Whether something may be stored at or after this place, so that judging needs `Stored`."""
    return arrival.epoch < chain.known_epoch or (arrival.epoch == chain.known_epoch and arrival.seq <= chain.known_seq)


def judge(chain: Chain, arrival: Arrival, terms: Terms, received_s: int, stored: Stored = NOTHING_STORED) -> Verdict:
    """Judge a reading of a registered (kid, meter) by steps 4 to 11 (§4.2), at the time of its receipt in Unix seconds.

    `stored` must be given where `needs_lookup` says so.
    """
    if not stored.digests and _is_plainly_next(chain, arrival, terms, received_s):
        return _admit(chain, arrival, bridged=False)
    return judge_by_table(chain, arrival, terms, received_s, stored)


def judge_by_table(chain: Chain, arrival: Arrival, terms: Terms, received_s: int, stored: Stored) -> Verdict:
    """`judge` without the short way: this is the rule, and a test holds the two equal."""
    for check in CHECKS:
        verdict = check(chain, arrival, terms, received_s, stored)
        if verdict is not None:
            return verdict
    return _admit(chain, arrival, bridged=False)


def _is_plainly_next(chain: Chain, arrival: Arrival, terms: Terms, received_s: int) -> bool:
    """Whether a successor in its epoch, without a profile, passes every check: nearly all readings do."""
    _, _, epoch, seq, time_s, imported, exported, _, prev, serial, _, profile = arrival
    since_s, rated_mw = time_s - chain.time_s, terms.rated_power_mw
    energy_mwh = max(imported - chain.import_mwh, exported - chain.export_mwh)
    return (
        epoch == chain.epoch
        and seq == chain.seq + 1
        and prev == chain.digest
        and serial == terms.serial
        and EARLIEST_S <= time_s <= received_s + AHEAD_S
        and terms.valid_from_s <= time_s
        and (terms.valid_until_s is None or time_s < terms.valid_until_s)
        and since_s > 0
        and imported >= chain.import_mwh
        and exported >= chain.export_mwh
        and energy_mwh <= MAX_ENERGY_MWH
        and (not rated_mw or is_within_rating(energy_mwh, rated_mw, since_s))
        and profile is None
    )


def overflows(chain: Chain, arrival: Arrival, start: Arrival, shift: Shift | None = None) -> Verdict | None:
    """The verdict on an admitted reading that would give its record, open since `start`, more energy than one holds.

    Across a declared discontinuity also on one whose register is below what the new one began with.
    """
    imported_mwh, exported_mwh = arrival.import_mwh - start.import_mwh, arrival.export_mwh - start.export_mwh
    if shift is not None:
        if arrival.import_mwh < shift.import_after_mwh or arrival.export_mwh < shift.export_after_mwh:
            detail = "a register is below what it was declared to begin with"
            return _set_aside_in_chain(chain, arrival, "register-fell", detail)
        imported_mwh, exported_mwh = imported_mwh + shift.import_mwh, exported_mwh + shift.export_mwh
    energy_mwh = max(imported_mwh, exported_mwh)
    seconds = arrival.time_s - start.time_s
    if energy_mwh <= MAX_ENERGY_MWH and energy_mwh * SECONDS_PER_HOUR <= MAX_AVERAGE_POWER_MW * seconds:
        return None
    detail = f"{kwh_text(energy_mwh)} kWh in a record of {seconds} s"
    return _set_aside_in_chain(chain, arrival, "rate-impossible", detail)


def exceeds_declared(current: Open, arrival: Arrival, terms: Terms) -> bool:
    """Whether a record across a declared discontinuity would hold more than its meter can count: none would verify."""
    start, _, shift = current
    if shift is None:
        return False
    imported_mwh = arrival.import_mwh - start.import_mwh + shift.import_mwh
    exported_mwh = arrival.export_mwh - start.export_mwh + shift.export_mwh
    return not is_rated(max(imported_mwh, exported_mwh), terms, arrival.time_s - start.time_s)


def judge_released(chain: Chain, arrival: Arrival, terms: Terms, received_s: int) -> Verdict | None:
    """The verdict on a set-aside reading that an operator released: admitted, across whatever lies before it.

    None where it must stay aside: something after it was admitted, its time is not after the last admitted one, or
    nobody could verify it, since what came meanwhile stands before it or its key is not valid at its time any more.
    """
    if _key_not_valid(chain, arrival, terms, received_s, NOTHING_STORED) is not None:
        return None
    is_latest = arrival.digest == chain.digest or (arrival.epoch, arrival.seq) > (chain.epoch, chain.seq)
    if chain.epoch >= 0 and not (is_latest and arrival.time_s > chain.time_s and not _is_broken(chain, arrival)):
        return None
    return _admit(chain, arrival, bridged=True)


def judge_again(chain: Chain, arrival: Arrival, terms: Terms, received_s: int, *, rejected: bool) -> Verdict:
    """The verdict on a set-aside successor, after what lies before it changed: by steps 6 and 10, as when it came.

    `rejected`: an operator decided about it, and it stays aside whatever it says.
    """
    for check in (_impossible_clock, _key_not_valid, *CONTINUATION):
        verdict = check(chain, arrival, terms, received_s, NOTHING_STORED)
        if verdict is not None:
            return verdict
    if rejected or _is_broken(chain, arrival):
        return _set_aside_in_chain(chain, arrival, "broken-chain", "it does not follow what came before it meanwhile")
    return _admit(chain, arrival, bridged=not _is_successor(chain, arrival))


def next_held(chain: Chain, terms: Terms, now_s: int, gap_hold_s: int) -> tuple[Held, Verdict] | None:
    """The first held reading with its verdict, if its turn has come: it is next in order, or has waited long enough.

    The caller goes on until there is none.
    """
    if not chain.held:
        return None
    first = chain.held[0]
    arrival = first.arrival
    waited_s = now_s - min(held.received_s for held in chain.held)
    over_due = waited_s >= gap_hold_s or len(chain.held) > MAX_HELD
    chain = chain._replace(held=chain.held[1:])
    if (arrival.epoch, arrival.seq) <= (chain.epoch, chain.seq):
        return first, _set_aside(chain, arrival, "replay", "the chain went on past it while it was held")
    bridged = False
    if _is_next(chain, arrival):
        if arrival.prev != chain.digest:
            return first, _set_aside(
                chain, arrival, "broken-chain", "its prev is not the digest of the reading before it"
            )
    elif not _begins_next_epoch(chain, arrival):
        if not over_due:
            return None
        bridged = True
    for check in CONTINUATION:
        verdict = check(chain, arrival, terms, now_s, NOTHING_STORED)
        if verdict is not None:
            return first, verdict
    return first, _admit(chain, arrival, bridged=bridged)


def next_release_s(chain: Chain, gap_hold_s: int) -> int | None:
    """When a held reading of this chain will have waited long enough; None where none is held."""
    return min(held.received_s for held in chain.held) + gap_hold_s if chain.held else None


def _is_next(chain: Chain, arrival: Arrival) -> bool:
    return arrival.epoch == chain.epoch and arrival.seq == chain.seq + 1


def _is_broken(chain: Chain, arrival: Arrival) -> bool:
    """Whether it is next in order, but names another reading as the one before it."""
    return _is_next(chain, arrival) and arrival.prev != chain.digest


def _begins_next_epoch(chain: Chain, arrival: Arrival) -> bool:
    """Whether it is the successor across a boot. With another prev it may follow readings still on their way."""
    return arrival.epoch > chain.epoch and arrival.seq == 0 and arrival.prev == chain.digest


def _is_successor(chain: Chain, arrival: Arrival) -> bool:
    return (_is_next(chain, arrival) and arrival.prev == chain.digest) or _begins_next_epoch(chain, arrival)


def _admit(chain: Chain, arrival: Arrival, *, bridged: bool) -> Verdict:
    _, _, epoch, seq, time_s, imported, exported, digest, _, _, _, _ = arrival
    known_epoch, known_seq = chain.known_epoch, chain.known_seq
    if epoch > known_epoch or (epoch == known_epoch and seq > known_seq):
        known_epoch, known_seq = epoch, seq
    after = Chain(
        epoch, seq, digest, time_s, imported, exported, time_s, imported, exported, known_epoch, known_seq, chain.held
    )
    return Verdict(ADMITTED, DETAIL, None, None, after, bridged)


def _knows(chain: Chain, arrival: Arrival) -> Chain:
    known = max((chain.known_epoch, chain.known_seq), (arrival.epoch, arrival.seq))
    return chain._replace(known_epoch=known[0], known_seq=known[1])


def _set_aside(chain: Chain, arrival: Arrival, reason: str, detail: str) -> Verdict:
    """Quarantine that advances nothing (steps 4, 5, 8, 9)."""
    return Verdict(QUARANTINED, SET_ASIDE, reason, detail, _knows(chain, arrival), bridged=False)


def _set_aside_in_chain(chain: Chain, arrival: Arrival, reason: str, detail: str) -> Verdict:
    """Quarantine of steps 6 and 10: a successor advances the cursor, so that the next reading finds its prev."""
    if chain.epoch < 0 or not _is_successor(chain, arrival):
        return _set_aside(chain, arrival, reason, detail)
    return Verdict(QUARANTINED, SET_ASIDE_IN_CHAIN, reason, detail, passed(chain, arrival), bridged=False)


def passed(chain: Chain, arrival: Arrival) -> Chain:
    """A chain after a successor that stays aside: its digest satisfies the next prev, its registers count nothing."""
    return _knows(chain, arrival)._replace(
        epoch=arrival.epoch,
        seq=arrival.seq,
        digest=arrival.digest,
        cursor_time_s=arrival.time_s,
        cursor_import_mwh=arrival.import_mwh,
        cursor_export_mwh=arrival.export_mwh,
    )


def _same_payload(chain: Chain, arrival: Arrival, _terms: Terms, _received_s: int, stored: Stored) -> Verdict | None:
    if arrival.digest in stored.digests:
        return Verdict(DUPLICATE, None, None, None, chain, bridged=False)
    return None


def _wrong_serial(chain: Chain, arrival: Arrival, terms: Terms, _received_s: int, _stored: Stored) -> Verdict | None:
    if arrival.serial != terms.serial:
        return _set_aside(
            chain, arrival, "wrong-serial", f"the key belongs to the device with serial {terms.serial.hex()}"
        )
    return None


def _other_payload(chain: Chain, arrival: Arrival, _terms: Terms, _received_s: int, stored: Stored) -> Verdict | None:
    if stored.digests:
        detail = f"another reading was signed for this place: {stored.digests[0].hex()}"
        return _set_aside(chain, arrival, "equivocation", detail)
    return None


def _impossible_clock(
    chain: Chain, arrival: Arrival, _terms: Terms, received_s: int, _stored: Stored
) -> Verdict | None:
    if EARLIEST_S <= arrival.time_s <= received_s + AHEAD_S:
        return None
    return _set_aside_in_chain(chain, arrival, "clock-impossible", f"its time is {rfc3339(arrival.time_s)}")


def _key_not_valid(chain: Chain, arrival: Arrival, terms: Terms, _received_s: int, _stored: Stored) -> Verdict | None:
    time_s = arrival.time_s
    if terms.valid_from_s <= time_s and (terms.valid_until_s is None or time_s < terms.valid_until_s):
        return None
    return _set_aside_in_chain(chain, arrival, "key-not-valid-then", f"its time is {rfc3339(time_s)}")


def _baseline(chain: Chain, arrival: Arrival, _terms: Terms, _received_s: int, _stored: Stored) -> Verdict | None:
    return _admit(chain, arrival, bridged=False) if chain.epoch < 0 else None


def _behind(chain: Chain, arrival: Arrival, terms: Terms, _received_s: int, stored: Stored) -> Verdict | None:
    if arrival.epoch > chain.epoch or (arrival.epoch == chain.epoch and arrival.seq > chain.seq):
        return None
    if stored.in_gap:
        if stored.around is not None:
            fault = contradiction(stored.around, arrival, lambda energy, s: not is_rated(energy, terms, s))
            if fault is not None:
                return _set_aside(chain, arrival, fault.reason, fault.detail)
        return Verdict(TOO_LATE, LATE, None, "its gap was bridged before it came", chain, bridged=False)
    return _set_aside(chain, arrival, "replay", "the chain stands after it and misses nothing here")


def _out_of_order(chain: Chain, arrival: Arrival, _terms: Terms, received_s: int, _stored: Stored) -> Verdict | None:
    if _is_next(chain, arrival):
        if arrival.prev == chain.digest:
            return None
        return _set_aside(chain, arrival, "broken-chain", "its prev is not the digest of the reading before it")
    if _begins_next_epoch(chain, arrival):
        return None
    held = tuple(sorted((*chain.held, Held(arrival, received_s))))
    return Verdict(HOLD, HELD, None, None, _knows(chain, arrival)._replace(held=held), bridged=False)


def _clock_backwards(
    chain: Chain, arrival: Arrival, _terms: Terms, _received_s: int, _stored: Stored
) -> Verdict | None:
    if arrival.time_s > chain.time_s:
        return None
    detail = f"{rfc3339(arrival.time_s)} is not after {rfc3339(chain.time_s)}"
    return _set_aside_in_chain(chain, arrival, "clock-backwards", detail)


def _register_fell(chain: Chain, arrival: Arrival, _terms: Terms, _received_s: int, _stored: Stored) -> Verdict | None:
    for name, before, now in (
        ("import", chain.import_mwh, arrival.import_mwh),
        ("export", chain.export_mwh, arrival.export_mwh),
    ):
        if now < before:
            detail = f"the {name} register fell from {kwh_text(before)} to {kwh_text(now)} kWh"
            return _set_aside_in_chain(chain, arrival, "register-fell", detail)
    return None


def is_rated(energy_mwh: int, terms: Terms, seconds: int) -> bool:
    """Whether the meter can count so much in that time, as far as its rating is known."""
    return not terms.rated_power_mw or is_within_rating(energy_mwh, terms.rated_power_mw, seconds)


def _impossible_rate(chain: Chain, arrival: Arrival, terms: Terms, _received_s: int, _stored: Stored) -> Verdict | None:
    energy_mwh = max(arrival.import_mwh - chain.import_mwh, arrival.export_mwh - chain.export_mwh)
    seconds = arrival.time_s - chain.time_s
    if energy_mwh > MAX_ENERGY_MWH or not is_rated(energy_mwh, terms, seconds):
        detail = f"{kwh_text(energy_mwh)} kWh in {seconds} s"
        return _set_aside_in_chain(chain, arrival, "rate-impossible", detail)
    return None


def _other_profile(chain: Chain, arrival: Arrival, _terms: Terms, _received_s: int, _stored: Stored) -> Verdict | None:
    if arrival.profile is None or not _is_successor(chain, arrival):
        return None
    since = (
        arrival.time_s - chain.cursor_time_s,
        arrival.import_mwh - chain.cursor_import_mwh,
        arrival.export_mwh - chain.cursor_export_mwh,
    )
    if arrival.profile == since:
        return None
    detail = "the profile does not add up to the differences from the reading before it"
    return _set_aside_in_chain(chain, arrival, "profile-mismatch", detail)


CONTINUATION: Final[tuple[Check, ...]] = (_clock_backwards, _register_fell, _impossible_rate, _other_profile)
"""Step 10: what must hold between an admitted reading and the one before it."""

CHECKS: Final[tuple[Check, ...]] = (
    _same_payload,  # 5, first: who sends again what was set aside at step 4 must not grow the log
    _wrong_serial,  # 4
    _other_payload,  # 5
    _impossible_clock,  # 6
    _key_not_valid,  # 6
    _baseline,  # 7
    _behind,  # 8
    _out_of_order,  # 9
    *CONTINUATION,  # 10
)
"""The order of §4.2; what needs the registry or the record grid is judged in admission.py.

The first check that has a verdict decides; where none has, the reading is admitted (step 11).
"""
