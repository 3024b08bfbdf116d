"""The verification of a proof bundle (docs/spec/proof.md §3).

Five answers, none of which trusts the server or the bundle.
"""

from __future__ import annotations

from wattseal.core.answers import anchored, authentic, billed, complete, included
from wattseal.core.bundle import Bundle
from wattseal.core.contents import read_contents
from wattseal.core.trust import Trust
from wattseal.core.verdict import Verdicts


def verify(bundle: Bundle, trust: Trust) -> Verdicts:
    """Answer the five questions about a parsed bundle, for somebody who trusts what `trust` says and nothing else.

    Nothing is raised for what a bundle claims: whatever is false in it becomes a `no` with its reason.
    """
    contents = read_contents(bundle)
    inclusion = included.judge(bundle, trust)
    signed = authentic.judge(bundle, contents, trust, inclusion.registry)
    return Verdicts(
        authentic=signed,
        included=inclusion.answer,
        complete=complete.judge(bundle, contents, (inclusion.answer, signed), inclusion.registry),
        anchored=anchored.judge(bundle, contents, trust),
        billed=billed.judge(contents, inclusion.registry),
    )
