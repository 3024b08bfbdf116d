"""Makes vectors/anchor.json: run `python -m tests.core.make_anchor_vectors` from the root to write it again.

Everything follows from the constants below, so that a run changes the file only if the format or a check changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.core.real_bitcoin import (
    GENESIS_HEADER,
    HEADER_1,
    HEADER_2,
    HEADER_100000,
    TX_170,
    TX_BIP143,
    TXID_170,
    TXIDS_100000,
)
from wattseal.anchor.regtest import LOCK_SCRIPT
from wattseal.anchor.simulated import SimulatedChain
from wattseal.core.anchor_check import AnchorFinding, ChainTrust, check, check_beacon
from wattseal.core.anchor_evidence import BitcoinEvidence
from wattseal.core.anchor_payload import anchor_script
from wattseal.core.bitcoin.block import parse_block
from wattseal.core.bitcoin.branch import build_branch
from wattseal.core.bitcoin.digest import double_sha256, from_display
from wattseal.core.bitcoin.header import BlockHeader, block_work, meets_target, parse_header
from wattseal.core.bitcoin.tx import Transaction, TxInput, TxOutput, parse_transaction
from wattseal.core.refusal import Refusal

FILE: Final = Path(__file__).resolve().parents[2] / "vectors" / "anchor.json"
NOW: Final = 1_760_000_000
DIGESTS: Final = [hashlib.sha256(f"wattseal anchor vector {number}".encode()).digest() for number in range(5)]


def _chain() -> SimulatedChain:
    """Block 102 holds the five anchors, so its tree has six leaves and an odd level; four blocks follow."""
    chain = SimulatedChain.create(NOW)
    for digest in DIGESTS:
        chain.publish(digest, NOW)
    chain.mine(NOW + 600)
    for number in range(2, 6):
        chain.mine(NOW + 600 * number)
    return chain


CHAIN: Final = _chain()
KNOWN: Final = CHAIN.known_blocks()
HEIGHT: Final = 102
TIP: Final = 106
AROUND: Final = range(100, TIP + 1)
# What every case of a group must come to; the reasons are the check's own.
STATES: Final = {"convincing": "yes", "undecided": "unknown", "contradicted": "no", "broken": "no"}


def evidence(number: int, depth: int = 3) -> BitcoinEvidence:
    """The evidence for DIGESTS[number]."""
    found = CHAIN.evidence(DIGESTS[number], depth)
    if found is None:
        raise LookupError(number)
    return found


def trusting(*heights: int, min_work: int | None = None) -> ChainTrust:
    """Trust in the simulated chain's blocks at these heights."""
    known = {height: KNOWN[height] for height in heights}
    return ChainTrust("simulated", simulated=True, known_blocks=known, min_work=min_work)


def mined(header: BlockHeader, *, meets: bool = True) -> BlockHeader:
    """The header with the first nonce for which it has proof of work, or has none."""
    header = replace(header, nonce=0)
    while meets_target(header) is not meets:
        header = replace(header, nonce=header.nonce + 1)
    return header


def alone(tx: Transaction, branch: tuple[bytes, ...] = (), index: int = 0) -> BitcoinEvidence:
    """Evidence made from nothing: a block of its own over `tx`, with proof of work."""
    root = tx.txid()
    for level, sibling in enumerate(branch):
        root = double_sha256(sibling + root if index >> level & 1 else root + sibling)
    header = mined(BlockHeader(0x2000_0000, bytes(32), root, NOW, 0x207FFFFF, 0))
    return BitcoinEvidence("simulated", tx.stripped(), index, branch, 0, (header.serialise(),))


def paying(*scripts: bytes, version: int = 2) -> Transaction:
    """A transaction with an output for each script."""
    outputs = tuple(TxOutput(0, script) for script in scripts)
    return Transaction(version, (TxInput(bytes([7] * 32), 0, b"", 0),), outputs, (), 0)


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


Case = tuple[str, BitcoinEvidence, bytes, ChainTrust | None]


def _convincing() -> Iterator[Case]:
    """Evidence that agrees with itself and with what the verifier trusts."""
    for number, digest in enumerate(DIGESTS):
        yield f"known block, transaction {number + 1} of 6", evidence(number), digest, trusting(HEIGHT)
    one, digest = evidence(0), DIGESTS[0]
    yield "known block is a successor", one, digest, trusting(HEIGHT + 2)
    yield "one header only", evidence(0, depth=1), digest, trusting(HEIGHT)
    yield "known blocks up to the tip", one, digest, trusting(*AROUND)
    yield "work reached", one, digest, trusting(min_work=6)
    yield "known block, work not needed", one, digest, trusting(HEIGHT, min_work=1_000)
    yield "the payload beside other pushes", *_other_pushes(), trusting(min_work=2)


def _undecided() -> Iterator[Case]:
    """Evidence that agrees with itself, of which the verifier's trust says nothing."""
    one, digest = evidence(0), DIGESTS[0]
    yield "no trust at all", one, digest, None
    yield "trust without content", one, digest, trusting()
    yield "trust in another chain", one, digest, ChainTrust("bitcoin", simulated=False, known_blocks={0: KNOWN[0]})
    yield "known block is an ancestor", one, digest, trusting(HEIGHT - 1)
    yield "known block lies after the headers", one, digest, trusting(TIP)
    yield "work not reached", one, digest, trusting(min_work=7)
    yield "work not reached, ancestor known", one, digest, trusting(HEIGHT - 1, min_work=7)


def _other_pushes() -> tuple[BitcoinEvidence, bytes]:
    push = anchor_script(DIGESTS[0])[1:]
    return alone(paying(b"\x6a\x01\x00" + push)), DIGESTS[0]


def _contradicted() -> Iterator[Case]:
    """Evidence that agrees with itself, but not with the verifier's known blocks."""
    one, digest = evidence(0), DIGESTS[0]
    other = bytes([1] * 32)
    for height, where in ((HEIGHT - 1, "ancestor"), (HEIGHT, "block"), (HEIGHT + 2, "successor")):
        trust = trusting(HEIGHT)
        changed = replace(trust, known_blocks={**trust.known_blocks, height: other}, min_work=1)
        yield f"another {where} is known", one, digest, changed
    yield "height one too low", replace(one, height=HEIGHT - 1), digest, trusting(*AROUND)
    yield "height one too high", replace(one, height=HEIGHT + 1), digest, trusting(*AROUND)


def _broken() -> Iterator[Case]:
    """Evidence that contradicts itself, whatever the trust."""
    one, digest, trust = evidence(0), DIGESTS[0], trusting(*AROUND, min_work=1)
    first, second, third = one.headers

    yield "another digest", one, DIGESTS[1], trust
    yield "digest with one bit flipped", one, _flip(digest, 31), trust
    yield "another anchor's transaction", replace(one, tx=evidence(1).tx), digest, trust
    yield "transaction with one bit flipped", replace(one, tx=_flip(one.tx, len(one.tx) - 1)), digest, trust
    yield "transaction with a byte behind it", replace(one, tx=one.tx + b"\x00"), digest, trust
    yield "transaction cut off", replace(one, tx=one.tx[:-1]), digest, trust
    witnessed = replace(parse_transaction(one.tx), witnesses=((b"\x51",),)).serialise()
    yield "transaction with its witnesses", replace(one, tx=witnessed), digest, trust
    yield "length not in its shortest form", replace(one, tx=one.tx[:4] + b"\xfd\x01\x00" + one.tx[5:]), digest, trust
    yield "transaction of 64 bytes", alone(paying(bytes(4))), digest, trust
    yield "more than 21 million bitcoin", _too_rich(), digest, trust

    for name, script in _near_misses(digest):
        yield name, alone(paying(LOCK_SCRIPT, script)), digest, trust

    yield "index of the neighbour", replace(one, tx_index=one.tx_index ^ 1), digest, trust
    yield "branch with one bit flipped", replace(one, branch=(*one.branch[:2], _flip(one.branch[2], 0))), digest, trust
    yield "branch without its last level", replace(one, branch=one.branch[:2]), digest, trust
    yield "branch with a level too many", replace(one, branch=(*one.branch, bytes(32))), digest, trust
    yield "branch in the wrong order", replace(one, branch=one.branch[::-1]), digest, trust
    last = evidence(4)
    yield "place of a copied node", replace(last, tx_index=last.tx_index | 2), DIGESTS[4], trust
    tx = paying(anchor_script(digest))
    yield "copy away from the right edge", alone(tx, (tx.txid(), bytes(32))), digest, trust
    yield "inner node that is a transaction", *_inner_node(), trust

    yield "no proof of work", _with(one, mined(parse_header(first), meets=False)), digest, trust
    worthless = mined(parse_header(third), meets=False).serialise()
    yield "no proof of work in the last header", replace(one, headers=(first, second, worthless)), digest, trust
    yield "headers without the middle one", replace(one, headers=(first, third)), digest, trust
    yield "headers in the wrong order", replace(one, headers=(first, third, second)), digest, trust
    yield "a successor's header only", replace(one, headers=(second, third)), digest, trust
    yield "easier than Bitcoin allows", replace(one, chain="bitcoin"), digest, None
    yield "easier than signet allows", replace(one, chain="signet"), digest, None
    for name, bits in (("negative", 0x20FFFFFF), ("zero", 0x20000000), ("too large", 0xFF7FFFFF)):
        yield f"{name} target", _with(one, replace(parse_header(first), bits=bits)), digest, trust
    real = BitcoinEvidence("bitcoin", TX_170, 1, build_branch(TXIDS_100000, 1), 100_000, (HEADER_100000.serialise(),))
    bitcoin = ChainTrust("bitcoin", simulated=False, known_blocks={100_000: HEADER_100000.hash()})
    yield "real block, transaction without a payload", real, digest, bitcoin


def _with(one: BitcoinEvidence, header: BlockHeader) -> BitcoinEvidence:
    return replace(one, headers=(header.serialise(), *one.headers[1:]))


def _too_rich() -> BitcoinEvidence:
    tx = paying(LOCK_SCRIPT)
    return alone(replace(tx, outputs=(TxOutput((1 << 64) - 1, LOCK_SCRIPT),)))


def _near_misses(digest: bytes) -> Iterator[tuple[str, bytes]]:
    yield "digest without the tag", b"\x6a\x20" + digest
    yield "another tag", b"\x6a\x26WSEAL2" + digest
    yield "payload in a longer push", b"\x6a\x27WSEAL1" + digest + b"\x00"
    yield "payload in two pushes", b"\x6a\x06WSEAL1\x20" + digest
    yield "payload without OP_RETURN", b"\x26WSEAL1" + digest
    yield "payload behind another opcode", b"\x6a\x51\x26WSEAL1" + digest
    yield "payload by OP_PUSHDATA2", b"\x6a\x4d\x26\x00WSEAL1" + digest


def _inner_node() -> tuple[BitcoinEvidence, bytes]:
    """A transaction whose id reads, with the right sibling behind it, as a transaction of 64 bytes."""
    version = 0
    while paying(anchor_script(DIGESTS[0]), version=version).txid()[4] != 1:
        version += 1
    sibling = bytes(9) + b"\x00" + bytes(4) + b"\x01" + bytes(8) + b"\x04" + bytes(8)
    return alone(paying(anchor_script(DIGESTS[0]), version=version), (sibling,)), DIGESTS[0]


def _trust_json(trust: ChainTrust | None) -> object:
    if trust is None:
        return None
    return {
        "chain": trust.chain,
        "simulated": trust.simulated,
        "known_blocks": {str(height): block_hash.hex() for height, block_hash in trust.known_blocks.items()},
        "min_work": None if trust.min_work is None else f"{trust.min_work:x}",
    }


def finding_json(finding: AnchorFinding) -> dict[str, object]:
    """A finding as the file has it: work in hex, since it may exceed what a JSON number holds exactly."""
    return {
        "state": finding.state,
        "reason": finding.reason,
        "simulated": finding.simulated,
        "height": finding.height,
        "block_time": finding.block_time,
        "block_hash": None if finding.block_hash is None else finding.block_hash.hex(),
        "confirmations": finding.confirmations,
        "work": None if finding.work is None else f"{finding.work:x}",
    }


def _checks() -> Iterator[dict[str, object]]:
    for group, cases in zip(STATES, (_convincing(), _undecided(), _contradicted(), _broken()), strict=True):
        for name, given, digest, trust in cases:
            finding = check(given, digest, trust)
            if finding.state != STATES[group]:
                raise ValueError(name)
            yield {
                "name": name,
                "group": group,
                "digest": digest.hex(),
                "evidence": given.to_json(),
                "trust": _trust_json(trust),
                "expect": finding_json(finding),
            }


def _unreadable() -> Iterator[dict[str, object]]:
    good = evidence(0, depth=1).to_json()
    changes: list[tuple[str, object]] = [
        ("not an object", []),
        ("unknown member", {**good, "note": ""}),
        ("missing member", {name: value for name, value in good.items() if name != "height"}),
        ("unknown format", {**good, "format": "wattseal-anchor-bitcoin-2"}),
        ("unknown chain", {**good, "chain": "mainnet"}),
        ("chain is no text", {**good, "chain": 1}),
        ("upper-case hex", {**good, "tx": str(good["tx"]).upper()}),
        ("odd number of hex digits", {**good, "tx": str(good["tx"])[:-1]}),
        ("hex with a space", {**good, "tx": f"{good['tx']} "}),
        ("empty transaction", {**good, "tx": ""}),
        ("transaction is no text", {**good, "tx": None}),
        ("index does not fit the branch", {**good, "tx_index": 8}),
        ("negative index", {**good, "tx_index": -1}),
        ("index is a boolean", {**good, "tx_index": True}),
        ("index is text", {**good, "tx_index": "1"}),
        ("negative height", {**good, "height": -1}),
        ("height too large", {**good, "height": 1 << 31}),
        ("height has a fraction", {**good, "height": 102.5}),
        ("branch is no array", {**good, "branch": ""}),
        ("branch with a short hash", {**good, "branch": ["00" * 31]}),
        ("branch with a long hash", {**good, "branch": ["00" * 33]}),
        ("branch of 21 levels", {**good, "branch": ["00" * 32] * 21}),
        ("no headers", {**good, "headers": []}),
        ("header of 79 bytes", {**good, "headers": ["00" * 79]}),
        ("headers is no array", {**good, "headers": {}}),
    ]
    for name, changed in changes:
        try:
            BitcoinEvidence.from_json(changed)
        except Refusal as refusal:
            yield {"name": name, "evidence": changed, "refused": {"field": refusal.field, "reason": refusal.reason}}
        else:
            raise ValueError(name)


def _beacons() -> Iterator[dict[str, object]]:
    known = {HEIGHT: KNOWN[HEIGHT]}
    cases = [(HEIGHT, KNOWN[HEIGHT][:8]), (HEIGHT, KNOWN[HEIGHT][::-1][:8]), (HEIGHT + 1, KNOWN[HEIGHT + 1][:8])]
    for height, first8 in cases:
        finding = check_beacon(height, first8, known)
        yield {
            "height": height,
            "first8": first8.hex(),
            "known_blocks": {str(at): block_hash.hex() for at, block_hash in known.items()},
            "expect": {"state": finding.state, "reason": finding.reason},
        }


def vectors() -> dict[str, object]:
    """The whole file."""
    headers = [parse_header(raw) for raw in (GENESIS_HEADER, HEADER_1, HEADER_2)]
    block = parse_block(CHAIN.blocks()[HEIGHT])
    return {
        "format": "wattseal-vectors-anchor-1",
        "specification": "docs/spec/anchor.md",
        "headers": [
            {"header": header.serialise().hex(), "hash": header.hash().hex(), "work": f"{block_work(header.bits):x}"}
            for header in (*headers, HEADER_100000)
        ],
        "transactions": [
            {"tx": TX_170.hex(), "txid": from_display(TXID_170).hex(), "stripped": TX_170.hex()},
            *(
                {"tx": tx.serialise().hex(), "txid": tx.txid().hex(), "stripped": tx.stripped().hex()}
                for tx in (parse_transaction(TX_BIP143), *block.transactions[:2])
            ),
        ],
        "branches": [
            {
                "txid": txid.hex(),
                "tx_index": index,
                "branch": [node.hex() for node in build_branch(txids, index)],
                "root": root.hex(),
            }
            for txids, root in ((TXIDS_100000, HEADER_100000.merkle_root), (block.txids(), block.header.merkle_root))
            for index, txid in enumerate(txids)
        ],
        "payloads": [{"digest": digest.hex(), "script": anchor_script(digest).hex()} for digest in DIGESTS[:2]],
        "checks": list(_checks()),
        "unreadable": list(_unreadable()),
        "beacons": list(_beacons()),
    }


def text() -> str:
    """The file's text."""
    return json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
