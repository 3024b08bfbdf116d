"""Included: the log that the verifier trusts holds every entry of the bundle, under this registry (proof.md §3.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from wattseal.core.batch import Batch, parse_batch
from wattseal.core.bundle import Bundle, Leaf
from wattseal.core.checkpoint import Checkpoint, OpenedCheckpoint, open_checkpoint
from wattseal.core.entry import EMPTY_SLOTS, PUBLIC
from wattseal.core.merkle import verify_consistency, verify_inclusion
from wattseal.core.note import Note
from wattseal.core.refusal import Refusal
from wattseal.core.registration import parse_registration
from wattseal.core.registry import map_key, parse_signer
from wattseal.core.sorted_map import MapRoot, MemberProof, verify_member
from wattseal.core.trust import Trust, TrustedLog
from wattseal.core.verdict import Answer


@dataclass(frozen=True, slots=True)
class Inclusion:
    """The answer, and what later answers may rest on.

    That is the registry's bodies by name, or None where they are not shown to be the log's.
    """

    answer: Answer
    registry: Mapping[str, bytes] | None


def judge(bundle: Bundle, trust: Trust) -> Inclusion:
    """Whether the bundle's entries are in a log of the trust file."""
    try:
        origin = Checkpoint.parse(Note.parse(bundle.checkpoint).text).origin
    except Refusal as refusal:
        return Inclusion(Answer("no", f"the checkpoint cannot be read: {refusal}"), None)
    log = trust.log(origin)
    if log is None:
        reason = f"nothing that you trust names the log {origin}: give a trust file with its key, got by another road"
        return Inclusion(Answer("unknown", reason), None)
    registry: Mapping[str, bytes] | None = None
    try:
        opened = _open(bundle.checkpoint, log, trust)
        registry = _check_registry(bundle, opened.checkpoint)
        for where, leaf in _entries(bundle):
            _check_inclusion(where, leaf, opened.checkpoint)
        _check_once(bundle)
        seen = _check_last_seen(bundle, opened.checkpoint, log)
    except Refusal as refusal:
        return Inclusion(Answer("no", f"{refusal.field}: {refusal.reason}", log.simulated), registry)
    answer = _yes(bundle, opened, log, seen)
    return Inclusion(replace(answer, simulated=answer.simulated or _is_rehearsal(log, registry)), registry)


def _is_rehearsal(log: TrustedLog, registry: Mapping[str, bytes]) -> bool:
    """Whether the log's own registration, where the file shows it, calls the log's key simulated."""
    body = registry.get(f"signer/{log.verifier.name}+{log.verifier.key_id.hex()}")
    return body is not None and parse_signer(body).simulated


def _open(note: bytes, log: TrustedLog, trust: Trust) -> OpenedCheckpoint:
    if trust.policy is None:
        return open_checkpoint(note, log.verifier)
    opened = trust.policy.open(note)
    if opened.log != log.verifier:
        raise Refusal("checkpoint", "the policy and the trust file name different keys for this log")
    return opened


def _check_inclusion(where: str, leaf: Leaf, checkpoint: Checkpoint) -> None:
    try:
        verify_inclusion(leaf.leaf_hash, leaf.index, checkpoint.size, leaf.path, checkpoint.root)
    except Refusal as refusal:
        raise Refusal(where, f"is not in the log as it stands here (index {leaf.index}): {refusal.reason}") from None


def _check_once(bundle: Bundle) -> None:
    """One entry of the log is one interval: shown twice, its energy would count twice."""
    seen: set[int] = set()
    for place, leaf in enumerate(bundle.records):
        if leaf.index in seen:
            raise Refusal(f"records.{place}", f"holds the entry {leaf.index} of the log a second time")
        seen.add(leaf.index)


def _entries(bundle: Bundle) -> Iterator[tuple[str, Leaf]]:
    for place, statement in enumerate(bundle.statements):
        yield f"statements.{place}", statement.leaf
    for place, record in enumerate(bundle.records):
        yield f"records.{place}", record


def _check_registry(bundle: Bundle, checkpoint: Checkpoint) -> Mapping[str, bytes]:
    """The batch entry is the last leaf, and its registry holds every registration of the bundle (log.md §3)."""
    batch = _check_batch(bundle.batch, checkpoint)
    commitment = MapRoot(batch.registry_size, batch.registry_root)
    bodies: dict[str, bytes] = {}
    for place, item in enumerate(bundle.registry):
        where = f"registry.{place}"
        _check_inclusion(where, item.leaf, checkpoint)
        try:
            verify_member(commitment, map_key(item.name), item.leaf.entry, MemberProof(item.map_index, item.map_path))
        except Refusal:
            raise Refusal(where, f"{item.name} is not what the log's registry holds under that name") from None
        if item.name in bodies:
            raise Refusal(where, f"{item.name} is given twice")
        try:
            parse_registration(item.name, item.leaf.body)
        except Refusal as refusal:
            raise Refusal(where, f"{item.name} cannot be relied on: {refusal}") from None
        bodies[item.name] = item.leaf.body
    return bodies


def _check_batch(leaf: Leaf, checkpoint: Checkpoint) -> Batch:
    if leaf.index != checkpoint.size - 1:
        raise Refusal("batch", "is not the last entry under the checkpoint")
    if leaf.salts != PUBLIC or leaf.slots != EMPTY_SLOTS:
        raise Refusal("batch", "must be public: zero salts and slots")
    _check_inclusion("batch", leaf, checkpoint)
    batch = parse_batch(leaf.body)
    if batch.origin != checkpoint.origin or batch.last_index != leaf.index:
        raise Refusal("batch", "names another log or another place")
    return batch


def _check_last_seen(bundle: Bundle, checkpoint: Checkpoint, log: TrustedLog) -> Answer:
    """Consistency with the checkpoint that the verifier saw earlier (§3.1, step 5)."""
    proof = bundle.consistency
    if log.last_seen is None:
        if proof is not None:
            raise Refusal("consistency", "there is no checkpoint in your trust file that it could be checked against")
        return Answer("yes", "you gave no earlier checkpoint to compare with")
    seen = open_checkpoint(log.last_seen, log.verifier).checkpoint
    if proof is None and seen.size != checkpoint.size:
        return Answer(
            "unknown",
            f"nothing shows that the checkpoint you saw (size {seen.size}) belongs to this history; "
            f"ask for the bundle with --since {seen.size}",
        )
    if proof is not None and proof.size != seen.size:
        raise Refusal("consistency", f"is not about the size {seen.size} that you saw")
    older, newer = sorted((seen, checkpoint), key=lambda head: head.size)
    try:
        verify_consistency(older.size, older.root, newer.size, newer.root, () if proof is None else proof.path)
    except Refusal as refusal:
        raise Refusal(
            "consistency", f"the checkpoint that you saw is no part of this history: {refusal.reason}"
        ) from None
    return Answer("yes", f"it continues the checkpoint of size {seen.size} that you saw")


def _yes(bundle: Bundle, opened: OpenedCheckpoint, log: TrustedLog, seen: Answer) -> Answer:
    checkpoint = opened.checkpoint
    witnesses = len({signature.name for signature in opened.cosignatures})
    witnessed = f"{witnesses} witnesses cosigned it" if witnesses else "no independent witness signed it"
    first, last = bundle.records[0].index, bundle.records[-1].index
    facts = (
        f"log {checkpoint.origin}, {checkpoint.size} entries, root {checkpoint.root.hex()}",
        f"{len(bundle.records)} records, from index {first} to {last}",
        seen.reason,
        witnessed,
    )
    reason = f"all {len(bundle.records)} records are in the log {checkpoint.origin}; {witnessed}"
    if seen.word == "unknown":
        reason = seen.reason
    return Answer(seen.word, reason, log.simulated, facts)
