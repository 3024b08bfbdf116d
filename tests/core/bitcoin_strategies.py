"""Hypothesis strategies for Bitcoin's structures."""

from __future__ import annotations

from hypothesis import strategies as st

from wattseal.core.bitcoin.tx import Transaction, TxInput, TxOutput

hashes = st.binary(min_size=32, max_size=32)
_uint32 = st.integers(0, 0xFFFF_FFFF)
_scripts = st.binary(max_size=300)
_inputs = st.builds(TxInput, hashes, _uint32, _scripts, _uint32)
# At most 8 outputs, so that no sum exceeds 21 million bitcoin.
_outputs = st.builds(TxOutput, st.integers(0, 200_000_000_000_000), _scripts)


@st.composite
def transactions(draw: st.DrawFn) -> Transaction:
    """Any transaction that parses: with or without witnesses, never of 64 bytes."""
    inputs = tuple(draw(st.lists(_inputs, min_size=1, max_size=4)))
    outputs = tuple(draw(st.lists(_outputs, min_size=1, max_size=8)))
    stack = st.lists(st.binary(max_size=80), max_size=4).map(tuple)
    stacks = tuple(draw(st.lists(stack, min_size=len(inputs), max_size=len(inputs))))
    witnesses = stacks if any(stacks) else ()
    made = Transaction(draw(_uint32), inputs, outputs, witnesses, draw(_uint32))
    if len(made.stripped()) == 64:
        return Transaction(made.version, inputs, (*outputs, TxOutput(0, b"")), witnesses, made.lock_time)
    return made
