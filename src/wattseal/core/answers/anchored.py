"""Anchored: not after which block the checkpoint existed, not before which its readings were signed (proof.md §3.4)."""

from __future__ import annotations

from wattseal.core.anchor_check import ChainTrust, check, check_beacon
from wattseal.core.bundle import Bundle
from wattseal.core.checkpoint import Checkpoint
from wattseal.core.contents import Contents
from wattseal.core.note import Note
from wattseal.core.reading import Beacon
from wattseal.core.refusal import Refusal
from wattseal.core.trust import Trust
from wattseal.core.units import rfc3339
from wattseal.core.verdict import Answer, worst


def judge(bundle: Bundle, contents: Contents, trust: Trust) -> Answer:
    """Whether a block of a chain that the verifier trusts commits to the checkpoint.

    The best of the bundle's anchors counts, but any false one is a no.
    """
    if not bundle.anchors:
        return Answer("unknown", "the file holds no anchor: no Bitcoin block bounds its age yet")
    try:
        digest = Checkpoint.parse(Note.parse(bundle.checkpoint).text).digest()
    except Refusal as refusal:
        return Answer("no", f"the checkpoint cannot be read: {refusal}")
    beacons = frozenset(reading.beacon for _, reading in contents.readings.values())
    answers = []
    for evidence in bundle.anchors:
        finding = check(evidence, digest, trust.chain(evidence.chain))
        said = [finding.reason]
        if finding.block_time is not None:
            said.append(f"the block's own time is {rfc3339(finding.block_time)}")
        if finding.state == "yes":
            said += _signed_after(beacons, trust.chain(evidence.chain))
        facts = () if finding.confirmations is None else (f"{finding.confirmations} confirmations",)
        answers.append(Answer(finding.state, "; ".join(said), finding.simulated, facts))
    if any(answer.word == "no" for answer in answers):
        return worst(answers, answers[0])
    return next((answer for answer in answers if answer.word == "yes"), answers[0])


def _signed_after(beacons: frozenset[Beacon | None], known: ChainTrust | None) -> list[str]:
    """What the beacons say: the other side of the time bracket, where the verifier knows the blocks."""
    if known is None or not beacons:
        return []
    heights = []
    for beacon in beacons:
        if beacon is None or check_beacon(beacon.height, beacon.hash8, known.known_blocks).state != "yes":
            return []
        heights.append(beacon.height)
    return [f"every reading was signed after block {min(heights)}"]
