"""Writes a trust file for those who verify this log's bundles (docs/spec/proof.md §2)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from wattseal.core.anchor_check import ChainTrust
from wattseal.core.bitcoin.digest import to_display
from wattseal.core.note_key import Verifier

_HEAD = """\
# What you trust when you check files of this log. Give it away by another road than the files themselves,
# and compare the vkey with the operator by telephone: whoever gives you this file decides what you believe.
version = 1
"""


def trust_text(
    log: Verifier, chains: Sequence[ChainTrust], *, last_seen: str | None = None, simulated: bool = False
) -> str:
    """The text of trust.toml: the log's key, the blocks that are known, and a checkpoint to hold the log to.

    `simulated`: the log belongs to a demonstration.
    """
    lines = [_HEAD, "[[log]]", f"origin = {_text(log.name)}", f"vkey = {_text(log.vkey)}"]
    if simulated:
        lines.append("simulated = true")
    if last_seen is not None:
        lines.append(f"last_seen = {_text(last_seen)}")
    for chain in chains:
        if chain.simulated:
            lines += ["", "# A rehearsal: anybody can make this chain in a second. Nothing on it proves a time."]
        lines += ["", "[[chain]]", f"name = {_text(chain.chain)}", f"simulated = {str(chain.simulated).lower()}"]
        if chain.known_blocks:
            lines.append("blocks = [")
            lines += [
                f'  {{ height = {height}, hash = "{to_display(block_hash)}" }},'
                for height, block_hash in sorted(chain.known_blocks.items())
            ]
            lines.append("]")
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """A TOML basic string; JSON's escapes are among TOML's."""
    return json.dumps(value, ensure_ascii=True)
