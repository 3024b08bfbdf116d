"""`wattseal tlog verify`: a C2SP tlog-proof of one entry (docs/spec/proof.md §5). Imports `core` alone."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from wattseal.cli.terminal import Terminal, clean, told
from wattseal.cli.verify import read_bounded
from wattseal.core.policy import MAX_POLICY_BYTES, Policy
from wattseal.core.refusal import Refusal
from wattseal.core.tlog_proof import TlogProof, verify
from wattseal.core.verdict import EXIT_NO, EXIT_UNREADABLE, EXIT_YES

MAX_PROOF_BYTES: Final = 2**21
MAX_LEAF_BYTES: Final = 2**24

_EPILOG: Final = """\
exit codes:
  0  the log of the policy holds this entry
  1  it does not, or the policy does not accept the checkpoint
  2  a file cannot be read

example:
  wattseal tlog verify 42.tlog-proof --leaf 42.entry --policy policy.txt

For one of our own logs the leaf file holds the 32 bytes of the entry (docs/spec/log.md, section 1).
"""


def run(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="wattseal tlog", description="Transparency-log proofs (C2SP tlog-proof).")
    actions = parser.add_subparsers(dest="action", required=True, metavar="verify")
    check = actions.add_parser(
        "verify",
        help="check that a log holds an entry",
        description="Check that a log which your policy trusts holds an entry.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("proof", metavar="PROOF", help="a *.tlog-proof file")
    check.add_argument("--leaf", metavar="FILE", required=True, help="the entry, as the log committed to it")
    check.add_argument("--policy", metavar="FILE", required=True, help="whom you trust: a C2SP tlog-policy file")
    check.add_argument("--json", action="store_true", help="a JSON object instead of text")
    options = parser.parse_args(arguments)
    paths = Path(options.proof), Path(options.leaf), Path(options.policy)
    return told("tlog", lambda: _verify(*paths, as_json=options.json))


def _verify(proof_path: Path, leaf_path: Path, policy_path: Path, *, as_json: bool) -> int:
    try:
        proof = TlogProof.parse(read_bounded(proof_path, MAX_PROOF_BYTES))
        policy = Policy.parse(read_bounded(policy_path, MAX_POLICY_BYTES))
        leaf = read_bounded(leaf_path, MAX_LEAF_BYTES)
    except (OSError, Refusal) as error:
        return _say(EXIT_UNREADABLE, f"cannot be read: {error}", {"fault": str(error)}, as_json=as_json)
    try:
        opened = verify(proof, leaf, policy)
    except Refusal as refusal:
        return _say(EXIT_NO, f"no: {refusal}", {"fault": str(refusal)}, as_json=as_json)
    checkpoint = opened.checkpoint
    witnesses = [signature.name for signature in opened.cosignatures]
    facts = {
        "index": proof.index,
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "witnesses": witnesses,
    }
    said = f"cosigned by {', '.join(witnesses)}" if witnesses else "no witness signed it"
    text = f"yes: entry {proof.index} of the log {checkpoint.origin}, checkpoint of {checkpoint.size} entries, {said}"
    return _say(EXIT_YES, text, facts, as_json=as_json)


def _say(code: int, text: str, facts: dict[str, object], *, as_json: bool) -> int:
    if as_json:
        Terminal().line(json.dumps({"exit": code, **facts}, ensure_ascii=False))
    else:
        Terminal(sys.stderr if code == EXIT_UNREADABLE else None).line(clean(text))
    return code
