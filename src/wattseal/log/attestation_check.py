"""Looks at what is stored of anchors: each is of its batch's checkpoint, and its evidence says what it says."""

from __future__ import annotations

import json
from typing import Final

from wattseal.core.anchor_check import check
from wattseal.core.anchor_evidence import BitcoinEvidence
from wattseal.core.anchor_payload import checkpoint_digest
from wattseal.core.bitcoin.chain import chain_named
from wattseal.core.bitcoin.digest import double_sha256, to_display
from wattseal.core.bitcoin.tx import parse_transaction
from wattseal.core.note import Note
from wattseal.core.refusal import Refusal
from wattseal.log.port import AttestationRow, Read
from wattseal.log.report import Findings

_IN_BLOCK: Final = frozenset({"in_block", "final"})
_KIND: Final = "bitcoin"


def check_attestations(read: Read, findings: Findings) -> None:
    """Check every attestation. That the last ones were deleted cannot be seen; one in between can."""
    rows = read.attestations()
    for expected, row in enumerate(rows, 1):
        if row.attestation_no != expected:
            findings.bad(f"attestation {expected} is missing")
            break
    for row in rows:
        findings.count("attestations")
        try:
            fault = _fault(read, row)
        except (Refusal, ValueError) as error:
            fault = str(error)
        if fault is not None:
            findings.bad(f"attestation {row.attestation_no} of batch {row.batch}: {fault}")


def _fault(read: Read, row: AttestationRow) -> str | None:
    batch = read.batch(row.batch)
    if batch is None or batch.checkpoint is None:
        return "its batch has no checkpoint"
    if row.digest != checkpoint_digest(Note.parse(batch.checkpoint.encode()).text):
        return "it is of another digest than the batch's checkpoint has"
    if row.simulated != chain_named(row.chain).simulated:
        return f"it does not say rightly whether the chain {row.chain} is a simulated one"
    if row.state not in _IN_BLOCK:
        is_empty = row.height is None and row.block_hash is None and row.evidence is None
        return None if is_empty else f"it is {row.state}, and yet names a block"
    if row.evidence is None:
        return f"it is {row.state}, and its evidence is missing"
    evidence = BitcoinEvidence.from_json(json.loads(row.evidence, parse_float=str))
    found = check(evidence, row.digest, None)
    if found.state == "no":
        return f"its evidence is wrong: {found.reason}"
    txid = parse_transaction(evidence.tx).txid()
    said = (row.chain, row.height, row.block_hash, row.reference)
    shown = (evidence.chain, evidence.height, double_sha256(evidence.headers[0]), to_display(txid))
    return None if said == shown else "its columns differ from its evidence"
