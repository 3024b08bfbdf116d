from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.make_body_vectors import BATCH, KEY, METER, SIGNER, TARIFF
from tests.core.refused import outcome, refusal_of
from tests.core.strategies import FUZZ, texts
from wattseal.core.refusal import Refusal
from wattseal.core.registration import Registration, parse_registration

ALL: list[Registration] = [SIGNER, KEY, METER, TARIFF]


def parse(pair: tuple[str, bytes]) -> Registration:
    return parse_registration(*pair)


@pytest.mark.parametrize("registration", ALL, ids=lambda registration: registration.registry_name)
def test_a_registration_is_read_under_its_name_alone(registration: Registration) -> None:
    assert parse((registration.registry_name, registration.body())) == registration
    for other in ALL:
        if other is not registration:
            refusal_of(parse, (other.registry_name, registration.body()))
    kind, _, rest = registration.registry_name.partition("/")
    for name in (f"{kind}/{rest}0", f"{kind}/", kind, f"{kind}//{rest}", f"{kind.upper()}/{rest}"):
        assert refusal_of(parse, (name, registration.body())).field == "name"


@pytest.mark.parametrize("name", ["", "/", "batch/0", "keys/00", "key"])
def test_other_names_are_refused(name: str) -> None:
    assert refusal_of(parse, (name, KEY.body())).field == "name"


def test_a_body_of_another_kind_is_refused() -> None:
    assert refusal_of(parse, (KEY.registry_name, BATCH.body())).field == "schema_version"


@FUZZ
@given(texts | st.sampled_from([item.registry_name for item in ALL]), st.binary(max_size=40))
def test_anything_is_read_or_refused(name: str, body: bytes) -> None:
    assert isinstance(outcome(parse, (name, body)), Refusal)
