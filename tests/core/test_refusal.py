from __future__ import annotations

import pickle

import pytest

from wattseal.core.refusal import Refusal


def test_it_says_which_part_and_why() -> None:
    with pytest.raises(ValueError, match=r"^payload\.8: is negative$") as caught:
        raise Refusal("payload.8", "is negative")
    assert isinstance(caught.value, Refusal)
    assert (caught.value.field, caught.value.reason) == ("payload.8", "is negative")


def test_it_survives_the_way_back_from_a_worker_process() -> None:
    back = pickle.loads(pickle.dumps(Refusal("kid", "is not registered")))
    assert (type(back), back.field, back.reason, str(back)) == (
        Refusal,
        "kid",
        "is not registered",
        "kid: is not registered",
    )
