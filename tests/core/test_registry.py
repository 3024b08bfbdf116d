from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from tests.core.make_body_vectors import KEY, LOG, METER, PARSERS, SIGNER, TARIFF, changed
from tests.core.reading_samples import KID, PUBLIC
from tests.core.refused import outcome, refusal_of
from tests.core.strategies import FUZZ, HASHES, TIMES, identifiers, json_values, maybe, texts
from wattseal.core import jcs
from wattseal.core.note_key import CosignatureV1Signer, Ed25519Signer
from wattseal.core.reading import kid_of
from wattseal.core.refusal import Refusal
from wattseal.core.registry import (
    METER_ROLES,
    PROVENANCES,
    REASONS,
    SIGNER_ROLES,
    DeviceKey,
    Meter,
    Signer,
    Tariff,
    map_key,
    meter_path,
    parse_device_key,
    parse_meter,
    parse_signer,
    parse_tariff,
)

KIDS = st.binary(min_size=16, max_size=16)


@st.composite
def signers(draw: st.DrawFn) -> Signer:
    maker = draw(st.sampled_from((Ed25519Signer, CosignatureV1Signer)))
    verifier = maker(draw(identifiers), draw(HASHES)).verifier
    role = draw(st.sampled_from(SIGNER_ROLES))
    return Signer(verifier.name, role, verifier.vkey, draw(TIMES), draw(maybe(TIMES)), draw(st.booleans()))


device_keys = st.builds(
    DeviceKey,
    st.binary(min_size=64, max_size=64),
    identifiers,
    identifiers,
    st.binary(min_size=1, max_size=64),
    TIMES,
    maybe(TIMES),
    st.sampled_from(PROVENANCES),
    st.booleans(),
    maybe(KIDS),
    maybe(HASHES),
    st.sampled_from(REASONS),
)
meters = st.builds(
    Meter,
    identifiers,
    identifiers,
    identifiers,
    st.sampled_from(METER_ROLES),
    st.lists(KIDS, max_size=4).map(tuple),
    st.integers(1, 86_400),
    texts,
    TIMES,
    maybe(st.integers(1, 10**15 - 1)),
    st.booleans(),
)
tariffs = st.builds(
    Tariff,
    identifiers,
    st.integers(1, 10**9),
    identifiers,
    st.integers(0, 10**12),
    TIMES,
    st.lists(st.builds("{}/{}".format, identifiers, identifiers), max_size=3).map(tuple),
)


@given(signers())
def test_a_signer_is_read_back(signer: Signer) -> None:
    assert parse_signer(signer.body()) == signer
    name, key_id, _ = signer.vkey.split("+", 2)
    assert signer.registry_name == f"signer/{name}+{key_id}"


@given(device_keys)
def test_a_device_key_is_read_back(key: DeviceKey) -> None:
    assert parse_device_key(key.body()) == key
    assert key.registry_name == f"key/{hashlib.sha256(key.public_key).hexdigest()[:32]}"


@given(meters)
def test_a_meter_is_read_back(meter: Meter) -> None:
    assert parse_meter(meter.body()) == meter
    assert meter.registry_name == f"meter/{meter.site_id}/{meter.iot_device_id}/{meter.meter_id}"


@given(tariffs)
def test_a_tariff_is_read_back(tariff: Tariff) -> None:
    assert parse_tariff(tariff.body()) == tariff
    assert tariff.registry_name == f"tariff/{tariff.tariff_id}/{tariff.version}"


@given(st.one_of(signers(), device_keys, meters, tariffs))
def test_bodies_are_canonical(registration: Signer | DeviceKey | Meter | Tariff) -> None:
    assert registration.body() == rfc8785.dumps(json.loads(registration.body()))


@FUZZ
@given(st.sampled_from((SIGNER, KEY, METER, TARIFF)), st.data())
def test_any_value_in_the_place_of_another_is_read_or_refused(
    document: Signer | DeviceKey | Meter | Tariff, data: st.DataObject
) -> None:
    members = json.loads(document.body())
    name = data.draw(st.sampled_from(sorted(members)))
    body = changed(document, {name: data.draw(json_values)})
    found = outcome(PARSERS[members["schema_version"]], body)
    if isinstance(found, Refusal):
        assert found.field.split(".")[0] in {name, "kid", "name", "vkey", "public_key", "meters"}
    else:
        assert found.body() == body


# --- names ------------------------------------------------------------------------------------------------------------


def test_keys_with_a_plus_sign_have_names_of_their_own() -> None:
    """A vkey's parts are separated by plus signs, and base64 has plus signs as well."""
    plus = 0
    for seed in range(64):
        verifier = Ed25519Signer("log.example", bytes([seed]) * 32).verifier
        assert (
            Signer("log.example", "log", verifier.vkey, 0).registry_name
            == f"signer/log.example+{verifier.key_id.hex()}"
        )
        plus += "+" in verifier.vkey.split("+", 2)[2]
    assert plus > 10


@given(texts)
def test_map_keys(name: str) -> None:
    assert map_key(name) == hashlib.sha256(b"wattseal/registry/1\n" + name.encode()).digest()


def test_a_path_names_a_meter() -> None:
    assert meter_path("a", "b", "c") == "a/b/c" == replace(METER, site_id="a", iot_device_id="b", meter_id="c").path


def test_the_kid_is_the_keys() -> None:
    assert KEY.kid == KID == kid_of(PUBLIC)
    assert refusal_of(parse_device_key, changed(KEY, {"public_key": "00" * 64})).field == "kid"


# --- validity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("until_s", "time_s", "valid"),
    [
        (None, 99, False),
        (None, 100, True),
        (None, 10**10, True),
        (200, 199, True),
        (200, 200, False),
        (100, 100, False),
    ],
)
def test_the_end_of_validity_is_exclusive(until_s: int | None, time_s: int, valid: bool) -> None:
    assert replace(KEY, valid_from_s=100, valid_until_s=until_s).valid_at(time_s) is valid


# --- what is refused (the rest is in vectors/log.json) ----------------------------------------------------------------


def test_the_name_of_a_signer_is_the_name_of_its_key() -> None:
    other = Ed25519Signer("log.example/other", bytes(32)).verifier
    assert str(refusal_of(parse_signer, replace(SIGNER, vkey=other.vkey).body())) == "name: is not the name in vkey"
    assert refusal_of(parse_signer, replace(SIGNER, vkey="").body()).field == "vkey"
    assert refusal_of(parse_signer, replace(SIGNER, vkey=LOG.vkey.replace("+", "+0", 1)).body()).field == "vkey.id"
    assert refusal_of(parse_signer, changed(SIGNER, {"vkey": "v" * 513})).field == "vkey"


def test_lists_are_bounded() -> None:
    assert len(parse_meter(replace(METER, kids=(KID,) * 64).body()).kids) == 64
    assert refusal_of(parse_meter, replace(METER, kids=(KID,) * 65).body()).field == "kid"
    assert len(parse_tariff(replace(TARIFF, meters=("a/b",) * 1_000).body()).meters) == 1_000
    assert refusal_of(parse_tariff, replace(TARIFF, meters=("a/b",) * 1_001).body()).field == "meters"


@pytest.mark.parametrize(
    "meters", [[""], ["a"], ["/b"], ["a/"], ["a/b/c"], ["a b/c"], [None], [["a/b"]], [{}]], ids=str
)
def test_the_meters_of_a_tariff(meters: list[jcs.Json]) -> None:
    assert refusal_of(parse_tariff, changed(TARIFF, {"meters": meters})).field == "meters"
