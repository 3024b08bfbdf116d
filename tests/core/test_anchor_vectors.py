from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.make_anchor_vectors import FILE, STATES, finding_json, text
from wattseal.core.anchor_check import ChainTrust, check, check_beacon
from wattseal.core.anchor_evidence import BitcoinEvidence
from wattseal.core.anchor_payload import anchor_script
from wattseal.core.bitcoin.branch import verify_branch
from wattseal.core.bitcoin.header import block_work, parse_header
from wattseal.core.bitcoin.tx import parse_transaction
from wattseal.core.refusal import Refusal

VECTORS: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))


def _trust(obj: dict[str, Any] | None) -> ChainTrust | None:
    if obj is None:
        return None
    known = {int(height): bytes.fromhex(block_hash) for height, block_hash in obj["known_blocks"].items()}
    min_work = None if obj["min_work"] is None else int(obj["min_work"], 16)
    return ChainTrust(obj["chain"], simulated=obj["simulated"], known_blocks=known, min_work=min_work)


@pytest.mark.parametrize("case", VECTORS["checks"], ids=lambda case: case["name"])
def test_checks(case: dict[str, Any]) -> None:
    evidence = BitcoinEvidence.from_json(case["evidence"])
    assert evidence.to_json() == case["evidence"]
    finding = check(evidence, bytes.fromhex(case["digest"]), _trust(case["trust"]))
    assert finding_json(finding) == case["expect"]
    assert finding.state == STATES[case["group"]]


@pytest.mark.parametrize("case", VECTORS["unreadable"], ids=lambda case: case["name"])
def test_unreadable(case: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as caught:
        BitcoinEvidence.from_json(case["evidence"])
    assert {"field": caught.value.field, "reason": caught.value.reason} == case["refused"]


def test_beacons() -> None:
    for case in VECTORS["beacons"]:
        known = {int(height): bytes.fromhex(block_hash) for height, block_hash in case["known_blocks"].items()}
        finding = check_beacon(case["height"], bytes.fromhex(case["first8"]), known)
        assert {"state": finding.state, "reason": finding.reason} == case["expect"]


def test_parts() -> None:
    for case in VECTORS["headers"]:
        header = parse_header(bytes.fromhex(case["header"]))
        assert (header.hash().hex(), f"{block_work(header.bits):x}") == (case["hash"], case["work"])
    for case in VECTORS["transactions"]:
        tx = parse_transaction(bytes.fromhex(case["tx"]))
        assert (tx.txid().hex(), tx.stripped().hex()) == (case["txid"], case["stripped"])
    for case in VECTORS["branches"]:
        branch = [bytes.fromhex(node) for node in case["branch"]]
        verify_branch(bytes.fromhex(case["txid"]), case["tx_index"], branch, bytes.fromhex(case["root"]))
    for case in VECTORS["payloads"]:
        assert anchor_script(bytes.fromhex(case["digest"])).hex() == case["script"]


def test_no_part_is_empty_and_no_name_stands_twice() -> None:
    names = [case["name"] for part in ("checks", "unreadable") for case in VECTORS[part]]
    assert len(names) == len(set(names))
    assert {case["group"] for case in VECTORS["checks"]} == set(STATES)
    assert all(VECTORS[part] for part in ("headers", "transactions", "branches", "payloads", "unreadable", "beacons"))


def test_the_file_is_what_the_script_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "run: python -m tests.core.make_anchor_vectors"
