from __future__ import annotations

import base64
import hashlib

from tests.core.bundle_samples import BUNDLES
from tests.core.make_bundle_vectors import Patch, patched, put
from tests.core.reading_samples import KID, TYPICAL, sign
from tests.core.refused import outcome
from tests.core.world import to_file
from wattseal.core.bundle import parse_bundle
from wattseal.core.contents import Contents, read_contents
from wattseal.core.emlog import Record, body
from wattseal.core.reading import assemble, encode_payload, parse_envelope
from wattseal.core.refusal import Refusal

DEVICE = BUNDLES["device"]


def contents(*patches: Patch) -> Contents:
    return read_contents(parse_bundle(to_file(patched(DEVICE, list(patches)))))


def fault(*patches: Patch) -> str:
    found = contents(*patches).fault
    assert found is not None
    return str(found)


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_everything_is_read_once() -> None:
    found = contents()
    assert found.fault is None
    assert [body(record).decode() for record in found.all_records()] == [entry["body"] for entry in DEVICE["records"]]
    payloads = [parse_envelope(base64.b64decode(text)).payload for text in DEVICE["readings"]]
    assert list(found.readings) == [hashlib.sha256(payload).digest() for payload in payloads]
    assert [encode_payload(reading) for _, reading in found.readings.values()] == payloads


def test_a_body_that_cannot_be_read_is_kept_as_its_reason() -> None:
    found = contents(put("{}", "records", 1, "body"))
    assert [type(record) for record in found.records] == [Record, Refusal, Record]
    refusal = outcome(lambda _: found.all_records(), None)
    assert isinstance(refusal, Refusal)
    assert str(refusal) == "records.1: energy_kwh: is missing"


def test_the_first_reading_that_cannot_be_read_is_the_fault() -> None:
    assert fault(put("AAAA", "readings", 2)) == "readings.2: is no signed reading: reading: is cut short"
    assert fault(put("AAAA", "readings", 3), put("AAAA", "readings", 1)).startswith("readings.1: ")
    bad = assemble(KID, bytes(24), bytes(64))
    assert (
        fault(put(base64_of(bad), "readings", 4))
        == "readings.4: is no signed reading: cbor: has 23 bytes after its end"
    )
    assert len(contents(put("AAAA", "readings", 2)).readings) == 3


def test_one_reading_under_two_signatures_is_there_twice() -> None:
    payload = encode_payload(TYPICAL)
    twice = [base64_of(assemble(KID, payload, signature)) for signature in (sign(payload), bytes(64))]
    patches = [put(text, "readings", 4 + place) for place, text in enumerate(twice)]
    assert fault(*patches) == "readings.5: is in the file twice"
    assert contents(patches[0]).fault is None
