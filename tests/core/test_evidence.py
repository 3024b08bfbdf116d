from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from tests.core.record_samples import DEVICE, KID, SOURCE
from tests.core.refused import outcome, refusal_of
from tests.core.strategies import FUZZ, evidences, json_values
from wattseal.core import jcs
from wattseal.core.evidence import KINDS, MAX_CLAIM, Evidence, check_evidence, evidence_text, parse_evidence
from wattseal.core.refusal import Refusal

REPORTED, IMPORT = Evidence("reported"), Evidence("import", source=SOURCE)


@given(evidences())
def test_evidence_is_read_back(evidence: Evidence) -> None:
    check_evidence(evidence)
    written = evidence_text(evidence)
    value = jcs.loads(written.encode(), 4_096)
    assert jcs.dumps(value).decode() == written
    assert parse_evidence(value) == evidence


@FUZZ
@given(json_values)
def test_any_value_is_evidence_or_refused(value: jcs.Json) -> None:
    found = outcome(parse_evidence, value)
    assert not isinstance(found, Refusal) or found.field.startswith("evidence")


def test_claims_have_15_digits() -> None:
    assert MAX_CLAIM == 10**15 - 1
    check_evidence(replace(REPORTED, claimed_power_mw=-MAX_CLAIM, claimed_amount_msat=MAX_CLAIM))


@pytest.mark.parametrize("kind", KINDS)
def test_what_each_kind_must_have(kind: str) -> None:
    from_readings = kind in ("device", "gateway", "operator")
    source = SOURCE if kind == "import" else None
    bare = outcome(check_evidence, Evidence(kind, source=source))
    assert (bare.field if isinstance(bare, Refusal) else None) == ("evidence.kid" if from_readings else None)
    whole = outcome(check_evidence, replace(DEVICE, kind=kind, source=source))
    assert (whole.field if isinstance(whole, Refusal) else None) == ("evidence.kid" if kind == "reported" else None)
    other = {"import": None, "operator": SOURCE[1:]}.get(kind, SOURCE)
    assert refusal_of(
        check_evidence, replace(DEVICE if from_readings else REPORTED, kind=kind, source=other)
    ).field == ("evidence.source")


@pytest.mark.parametrize(
    ("evidence", "field"),
    [
        (replace(DEVICE, kind=""), "kind"),
        (replace(DEVICE, kind="Device"), "kind"),
        (replace(DEVICE, kid=KID.upper()), "kid"),
        (replace(DEVICE, kid=KID + "\n"), "kid"),
        (replace(DEVICE, kid=""), "kid"),
        (replace(DEVICE, epoch=(0, 2**32)), "epoch"),
        (replace(DEVICE, epoch=(-1, 0)), "epoch"),
        (replace(DEVICE, epoch=None), "epoch"),
        (replace(DEVICE, seq=(2**32, 0)), "seq"),
        (replace(DEVICE, seq=None), "seq"),
        (replace(REPORTED, epoch=(0, 0)), "epoch"),
        (replace(REPORTED, seq=(0, 0)), "seq"),
        (replace(IMPORT, source=""), "source"),
        (replace(IMPORT, source=SOURCE.upper()), "source"),
        (replace(IMPORT, source=SOURCE + "0"), "source"),
        (replace(REPORTED, claimed_power_mw=MAX_CLAIM + 1), "claims.power_kw_avg"),
        (replace(REPORTED, claimed_power_mw=-MAX_CLAIM - 1), "claims.power_kw_avg"),
        (replace(REPORTED, claimed_amount_msat=10**40), "claims.amount_sats"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_refused(evidence: Evidence, field: str) -> None:
    assert refusal_of(check_evidence, evidence).field == f"evidence.{field}"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, "evidence"),
        ([], "evidence"),
        ({}, "evidence.kind"),
        ({"kind": 1}, "evidence.kind"),
        ({"kind": "device", "claims": []}, "evidence.claims"),
        ({"kind": "device", "claims": False}, "evidence.claims"),
        ({"kind": "device", "kid": 1}, "evidence.kid"),
        ({"kind": "device", "epoch": 1}, "evidence.epoch"),
        ({"kind": "device", "epoch": [1]}, "evidence.epoch"),
        ({"kind": "device", "epoch": [1, True]}, "evidence.epoch"),
        ({"kind": "device", "seq": ["1", 2]}, "evidence.seq"),
        ({"kind": "device", "source": {}}, "evidence.source"),
        ({"kind": "device", "claims": {"power_kw_avg": "1"}}, "evidence.claims.power_kw_avg"),
        ({"kind": "device", "claims": {"amount_sats": True}}, "evidence.claims.amount_sats"),
    ],
    ids=str,
)
def test_what_is_no_evidence(value: Any, field: str) -> None:  # noqa: ANN401 - any JSON value
    assert refusal_of(parse_evidence, value).field == field
