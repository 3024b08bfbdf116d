"""What stands behind a record: its member `evidence` (docs/spec/emlog.md §3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from wattseal.core import jcs
from wattseal.core.refusal import Refusal
from wattseal.core.units import kw_text, quantity, sats_text

KINDS = ("device", "ocmf", "gateway", "text", "operator", "import", "reported")
"""Strongest first (docs/spec/reading.md §5)."""

MAX_CLAIM = 10**15 - 1
"""Of a claim in mW or msat: 15 digits, as many as every JSON parser keeps (§1)."""

FROM_READINGS = ("device", "gateway", "operator")
"""Kinds whose slots hold the digests of two readings of one chain."""

_U32 = 2**32 - 1
_KID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_ENTRY = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What stands behind a record.

    `epoch` and `seq` are those of the first and the last boundary reading. `source` is an entry in hex: of an import,
    or of the discontinuity that an operator declared. The claims (mW, msat) are what a client said and recomputation
    did not confirm.
    """

    kind: str
    kid: str | None = None
    epoch: tuple[int, int] | None = None
    seq: tuple[int, int] | None = None
    source: str | None = None
    claimed_power_mw: int | None = None
    claimed_amount_msat: int | None = None


def check_evidence(evidence: Evidence) -> None:
    """Raise Refusal unless each member is within §3: no record claims a key or a chain that its kind does not have."""
    kind, kid, source = evidence.kind, evidence.kid, evidence.source
    if kind not in KINDS:
        raise Refusal("evidence.kind", f"must be one of {', '.join(KINDS)}")
    for field, value in (("kid", kid), ("epoch", evidence.epoch), ("seq", evidence.seq)):
        if value is None and kind in FROM_READINGS:
            raise Refusal(f"evidence.{field}", f"must not be null for the kind {kind}")
        if value is not None and kind == "reported":
            raise Refusal(f"evidence.{field}", "must be null for the kind reported")
    if kid is not None and not _KID.fullmatch(kid):
        raise Refusal("evidence.kid", "must be 32 lower-case hex digits or null")
    for field, pair in (("epoch", evidence.epoch), ("seq", evidence.seq)):
        if pair is not None and not (0 <= pair[0] <= _U32 and 0 <= pair[1] <= _U32):
            raise Refusal(f"evidence.{field}", f"must be two integers from 0 to {_U32}")
    if kind not in ("import", "operator") and source is not None:
        raise Refusal("evidence.source", f"must be null for the kind {kind}")
    if source is not None and not _ENTRY.fullmatch(source):
        raise Refusal("evidence.source", "must be an entry, 64 lower-case hex digits")
    if kind == "import" and source is None:
        raise Refusal("evidence.source", "must be the import's entry, 64 lower-case hex digits")
    for field, claim in (("power_kw_avg", evidence.claimed_power_mw), ("amount_sats", evidence.claimed_amount_msat)):
        if claim is not None and not -MAX_CLAIM <= claim <= MAX_CLAIM:
            raise Refusal(f"evidence.claims.{field}", "has more than 15 digits")


def evidence_text(evidence: Evidence) -> str:
    """The member as canonical JSON."""
    return (
        f'{{"claims":{_claims(evidence)},"epoch":{_pair(evidence.epoch)},"kid":{_quoted(evidence.kid)}'
        f',"kind":"{evidence.kind}","seq":{_pair(evidence.seq)},"source":{_quoted(evidence.source)}}}'
    )


def _pair(value: tuple[int, int] | None) -> str:
    return "null" if value is None else f"[{value[0]},{value[1]}]"


def _quoted(value: str | None) -> str:
    return "null" if value is None else f'"{value}"'


def _claims(evidence: Evidence) -> str:
    claims = []
    if evidence.claimed_amount_msat is not None:
        claims.append(f'"amount_sats":{sats_text(evidence.claimed_amount_msat)}')
    if evidence.claimed_power_mw is not None:
        claims.append(f'"power_kw_avg":{kw_text(evidence.claimed_power_mw)}')
    return "{" + ",".join(claims) + "}" if claims else "null"


def parse_evidence(value: jcs.Json) -> Evidence:
    """The evidence in a record's member; `check_evidence` then says whether it may stand there."""
    if not isinstance(value, Mapping):
        raise Refusal("evidence", "must be an object")
    claims = value.get("claims")
    if claims is None:
        claims = {}
    if not isinstance(claims, Mapping):
        raise Refusal("evidence.claims", "must be an object or null")
    kind, power, amount = value.get("kind"), claims.get("power_kw_avg"), claims.get("amount_sats")
    if not isinstance(kind, str):
        raise Refusal("evidence.kind", "must be a text")
    return Evidence(
        kind,
        _optional_text(value.get("kid"), "evidence.kid"),
        _parse_pair(value.get("epoch"), "evidence.epoch"),
        _parse_pair(value.get("seq"), "evidence.seq"),
        _optional_text(value.get("source"), "evidence.source"),
        None if power is None else quantity(power, 6, "evidence.claims.power_kw_avg"),
        None if amount is None else quantity(amount, 3, "evidence.claims.amount_sats"),
    )


def _optional_text(value: jcs.Json, field: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise Refusal(field, "must be null or a text")


def _parse_pair(value: jcs.Json, field: str) -> tuple[int, int] | None:
    match value:
        case None:
            return None
        case [int(first), int(last)] if not isinstance(first, bool) and not isinstance(last, bool):
            return first, last
    raise Refusal(field, "must be null or two integers")
