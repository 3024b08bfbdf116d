"""POST /api/v1/logs: the good is durable, the bad gets a 4xx or is set aside, and the server survives it all."""

from __future__ import annotations

import base64
import hashlib
import random
import socket
import time
from collections.abc import Callable

import cbor2
import httpx
import pytest

from tests.api.live import COSE, INTERVAL_S, SEQUENCE, Device, Server, bad, good
from wattseal.api.submission import ResultList, ResultView
from wattseal.core.reading import assemble, encode_payload, parse_envelope
from wattseal.log.port import RecordFilter
from wattseal.serve import read_store
from wattseal.simulate.element import SimulatedElement


@pytest.fixture(scope="module")
def device(server: Server) -> Device:
    """Registered; its first reading is in."""
    device = Device("plant-1", "bad-input")
    server.enrol(device)
    assert server.send(device.next())[0]["outcome"] == "admitted"
    return device


def post(server: Server, body: bytes, kind: str = COSE, *, token: bool = False) -> httpx.Response:
    client = server.as_operator if token else server.as_nobody
    return client.post("/api/v1/logs", content=body, headers={"Content-Type": kind})


# --- Readings ---------------------------------------------------------------------------------------------------------


def test_a_reading_is_durable_and_closes_a_record(server: Server, device: Device) -> None:
    results = server.send(device.next(), device.next())
    assert [result["outcome"] for result in results] == ["admitted", "admitted"]
    assert all(ResultView.model_validate(result) for result in results)
    record = good(server.as_operator.get(f"/api/v1/logs/{results[0]['log_id']}"))
    assert record["body"]["energy_kwh"] == 0.1
    with read_store(server.settings) as store, store.read() as read:
        chain = next(row for row in read.chains() if row.kid == device.element.kid)
        stored = [row.digest.hex() for row in read.readings_after(chain.chain_no, 0, -1)]
    assert [result["digest"] for result in results] == stored[1:]


def test_sending_again_changes_nothing(server: Server, device: Device) -> None:
    reading = device.next()
    first, entries = server.send(reading)[0], good(server.as_nobody.get("/health"))["entries"]
    assert server.send(reading)[0] == first | {"outcome": "duplicate"}
    assert good(server.as_nobody.get("/health"))["entries"] == entries


def test_a_sequence_gets_a_result_for_each(server: Server, device: Device) -> None:
    stranger = Device("plant-1", "stranger")
    answer = post(server, device.next() + stranger.next() + device.next(), SEQUENCE)
    body = ResultList.model_validate_json(answer.content)
    assert [result.outcome for result in body.results] == ["admitted", "refused", "admitted"]
    assert body.results[1].reason == "unknown-key"
    assert body.counts == {"admitted": 2, "refused": 1}


def test_a_sequence_in_which_all_are_refused_is_an_error(server: Server) -> None:
    stranger = Device("plant-1", "stranger-2")
    problem = bad(post(server, stranger.next() + stranger.next(), SEQUENCE), 400)
    assert [result["reason"] for result in problem["results"]] == ["unknown-key", "unknown-key"]


def test_what_comes_early_waits(server: Server) -> None:
    device = Device("plant-1", "early")
    server.enrol(device)
    first, second, third = device.next(), device.next(), device.next()
    assert server.send(first)[0]["outcome"] == "admitted"
    assert server.send(third)[0]["outcome"] == "held"
    assert server.send(second)[0]["outcome"] == "admitted"
    assert server.send(third)[0]["outcome"] == "duplicate"


# --- Malformed readings -----------------------------------------------------------------------------------------------


def sign_map(device: Device, changes: dict[int, object], *, drop: tuple[int, ...] = ()) -> bytes:
    """The next reading with other values in its map, of whatever type, signed as it stands."""
    fields = cbor2.loads(encode_payload(device.peek())) | changes
    payload = cbor2.dumps({key: fields[key] for key in sorted(fields) if key not in drop})
    return device.element.sign(payload)


def non_canonical(device: Device) -> bytes:
    """Two keys of the map in the wrong order."""
    fields = cbor2.loads(encode_payload(device.peek()))
    order = [2, 1, *range(3, 14)]
    return device.element.sign(cbor2.dumps({key: fields[key] for key in order}))


def long_integer(device: Device) -> bytes:
    """The version 1 in two bytes."""
    payload = encode_payload(device.peek())
    assert payload[:3] == b"\xad\x01\x01"
    return device.element.sign(payload[:2] + b"\x18\x01" + payload[3:])


MALFORMED: dict[str, Callable[[Device], bytes]] = {
    "empty": lambda _: b"",
    "cut short": lambda device: device.odd()[:-1],
    "cut in its head": lambda device: device.odd()[:20],
    "one byte more": lambda device: device.odd() + b"\0",
    "two in one": lambda device: device.odd() + device.odd(),
    "too long": lambda device: assemble(device.element.kid, bytes(5_000), bytes(64)),
    "ten times too long": lambda device: device.odd() + bytes(50_000),
    "no COSE": lambda _: b"hello",
    "a float": lambda device: sign_map(device, {8: 5_000_000.5}),
    "a whole number as a float": lambda device: sign_map(device, {8: 5_000_000.0}),
    "not a number": lambda device: sign_map(device, {8: float("nan")}),
    "an unknown key": lambda device: sign_map(device, {99: 1}),
    "a missing key": lambda device: sign_map(device, {}, drop=(6,)),
    "another order of keys": non_canonical,
    "a longer integer than needed": long_integer,
    "a negative register": lambda device: sign_map(device, {8: -1}),
    "a register beyond 2^53": lambda device: sign_map(device, {8: 2**53}),
    "a huge register": lambda device: sign_map(device, {8: 2**64}),
    "version 2": lambda device: sign_map(device, {1: 2}),
    "text for a number": lambda device: sign_map(device, {4: "0"}),
    "a path for a meter": lambda device: sign_map(device, {3: "../x"}),
    "markup for a meter": lambda device: sign_map(device, {3: "<img src=x>"}),
    "a meter of 65 characters": lambda device: sign_map(device, {3: 65 * "m"}),
    "unknown flags": lambda device: sign_map(device, {11: 32}),
    "a short prev": lambda device: sign_map(device, {13: bytes(31)}),
    "61 samples": lambda device: sign_map(device, {18: [[5, 0, 0, 0]] * 61}),
    "no map": lambda device: device.element.sign(cbor2.dumps(list(range(40)))),
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("token", [False, True], ids=["nobody", "operator"])
def test_malformed_readings_are_refused(server: Server, device: Device, name: str, *, token: bool) -> None:
    before = good(server.as_nobody.get("/health"))["entries"]
    problem = bad(post(server, MALFORMED[name](device), token=token), 400)
    assert problem["field"]
    assert problem["reason"]
    assert good(server.as_nobody.get("/health"))["entries"] == before


@pytest.mark.parametrize("name", ["cut short", "one byte more", "no COSE", "empty", "ten times too long"])
def test_a_sequence_that_cannot_be_cut_stores_nothing(server: Server, device: Device, name: str) -> None:
    before = good(server.as_nobody.get("/health"))["entries"]
    body = device.odd() * 3 + MALFORMED[name](device) if name != "empty" else b""
    problem = bad(post(server, body, SEQUENCE), 400)
    assert problem["field"].startswith("readings")
    assert good(server.as_nobody.get("/health"))["entries"] == before
    assert server.send(device.next())[0]["outcome"] == "admitted"


def test_too_many_readings_in_one_request(server: Server, device: Device) -> None:
    problem = bad(post(server, device.odd() * 10_001, SEQUENCE), 400)
    assert "10000" in problem["reason"]


def test_an_unknown_key_goes_to_the_inbox(server: Server) -> None:
    stranger = Device("plant-1", "stranger-3")
    reading = stranger.next()
    problem = bad(post(server, reading), 403)
    assert (problem["type"], problem["field"]) == ("urn:wattseal:problem:unknown-key", "kid")
    time.sleep(1.5)  # the inbox is written with the next transaction or after a second
    inbox = good(server.as_operator.get("/api/v1/inbox"))["items"]
    found = [item for item in inbox if item["reason"].startswith("unknown-key")]
    assert found[0]["source"] == "127.0.0.1"


def test_a_signature_by_another_key_is_refused(server: Server, device: Device) -> None:
    payload = encode_payload(device.peek())
    forged = parse_envelope(SimulatedElement(b"forger").sign(payload)).signature
    problem = bad(post(server, assemble(device.element.kid, payload, forged)), 403)
    assert problem["type"] == "urn:wattseal:problem:bad-signature"


def test_every_bit_is_signed(server: Server, device: Device) -> None:
    reading = device.odd()
    for at in range(0, len(reading), 7):
        flipped = bytearray(reading)
        flipped[at] ^= 0x10
        assert post(server, bytes(flipped)).status_code in {400, 403}


# --- Readings that are set aside --------------------------------------------------------------------------------------


def set_aside(server: Server, reading: bytes, reason: str) -> None:
    """It is answered with the reason, kept with its bytes, and in the log."""
    result = server.send(reading)[0]
    assert (result["outcome"], result["reason"]) == ("quarantined", reason), result
    kept = good(server.as_operator.get(f"/api/v1/quarantine/{result['log_id']}"))
    assert kept["body"]["reason"] == reason
    assert kept["state"] == "open"
    assert base64.b64decode(kept["evidence"]["data"]) == reading
    assert server.send(reading)[0]["outcome"] == "duplicate"


@pytest.fixture
def fresh(server: Server, request: pytest.FixtureRequest) -> Device:
    """A device of the test's own, with two readings in."""
    device = Device("plant-2", f"d{abs(hash(request.node.name))}")
    server.enrol(device)
    assert [result["outcome"] for result in server.send(device.next(), device.next())] == ["admitted"] * 2
    return device


def test_an_equivocation(server: Server, fresh: Device) -> None:
    rival = fresh.odd(import_mwh=fresh.last.import_mwh + 7)
    server.send(fresh.next())
    set_aside(server, rival, "equivocation")


def test_a_replay_of_an_old_place(server: Server, fresh: Device) -> None:
    fresh.next(epoch=3, seq=0)
    server.send(fresh.element.sign(encode_payload(fresh.last)))
    set_aside(server, fresh.odd(epoch=1, seq=0, prev=bytes(32)), "replay")


def test_a_broken_chain(server: Server, fresh: Device) -> None:
    set_aside(server, fresh.odd(prev=hashlib.sha256(b"other").digest()), "broken-chain")


def test_a_clock_in_1970(server: Server, fresh: Device) -> None:
    set_aside(server, fresh.odd(time_s=100), "clock-impossible")


def test_a_clock_in_the_future(server: Server, fresh: Device) -> None:
    set_aside(server, fresh.odd(time_s=int(time.time()) + 3_600), "clock-impossible")


def test_a_clock_that_goes_back(server: Server, fresh: Device) -> None:
    set_aside(server, fresh.odd(time_s=fresh.last.time_s - 1), "clock-backwards")


def test_energy_beyond_the_rated_power(server: Server, fresh: Device) -> None:
    set_aside(server, fresh.odd(import_mwh=fresh.last.import_mwh + 10_000_000), "rate-impossible")


def test_a_register_that_fell(server: Server, fresh: Device) -> None:
    set_aside(server, fresh.odd(import_mwh=fresh.last.import_mwh - 1), "register-fell")


def test_a_meter_that_the_key_does_not_sign(server: Server, fresh: Device) -> None:
    set_aside(server, fresh.odd(meter_id="other"), "unknown-meter")


def test_another_serial(server: Server, fresh: Device) -> None:
    set_aside(server, fresh.odd(serial=b"other"), "wrong-serial")


def test_a_key_that_was_revoked(server: Server, fresh: Device) -> None:
    good(server.as_operator.post(f"/api/v1/keys/{fresh.element.kid.hex()}/revoke"), 201)
    set_aside(server, fresh.odd(time_s=int(time.time()) + 30), "key-not-valid-then")


def test_after_a_bad_clock_the_chain_goes_on(server: Server, fresh: Device) -> None:
    good_s = fresh.last.time_s
    set_aside(server, fresh.next(time_s=100), "clock-impossible")
    result = server.send(fresh.next(time_s=good_s + 2 * INTERVAL_S))[0]
    assert result["outcome"] == "admitted"
    record = good(server.as_operator.get(f"/api/v1/logs/{result['log_id']}"))["body"]
    assert (record["interval_s"], record["energy_kwh"], record["status"]) == (2 * INTERVAL_S, 0.2, "gap")


# --- Bodies -----------------------------------------------------------------------------------------------------------


def test_a_body_of_more_than_ten_megabytes(server: Server) -> None:
    problem = bad(post(server, bytes(10_000_001), SEQUENCE), 413)
    assert "10000000" in problem["detail"]
    problem = bad(server.as_nobody.post("/api/v1/logs", content=iter([bytes(1_000_000)] * 12)), 413)
    assert problem["next_step"]


def test_a_body_far_too_large_is_not_read(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"POST /api/v1/logs HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert connection.recv(4_096).startswith(b"HTTP/1.1 413 ")


def test_another_content_type(server: Server) -> None:
    assert "application/cose" in bad(post(server, b"a,b", "text/csv"), 415)["next_step"]
    bad(server.as_nobody.post("/api/v1/logs", content=b"a"), 415)


def test_half_a_request_and_no_more(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"POST /api/v1/logs HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nabc")
    good(server.as_nobody.get("/health"))


@pytest.mark.parametrize("kind", [COSE, SEQUENCE, "application/json"])
def test_noise_is_refused_and_the_server_lives(server: Server, fresh: Device, kind: str) -> None:
    chance = random.Random(kind)
    document = b'{"site_id":"plant-2","iot_device_id":"x","meter_id":"m","ts_start":"2026-01-01T00:00:00Z"}'
    for _ in range(40):
        body = bytearray(document if kind == "application/json" else fresh.odd())
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(body))
            match chance.randrange(3):
                case 0:
                    body[at] = chance.randrange(256)
                case 1:
                    del body[at : at + chance.randrange(1, 20)]
                case 2:
                    body[at:at] = chance.randbytes(chance.randrange(1, 20))
        assert post(server, bytes(body), kind, token=True).status_code in {400, 403}
    assert server.send(fresh.next())[0]["outcome"] == "admitted"


def test_nothing_that_was_admitted_is_lost(server: Server) -> None:
    """Runs last in this file: every record in the list is in the store, and the other way round."""
    pages = server.pages("/api/v1/logs?limit=7&order=oldest")
    records = [item["log_id"] for page in pages for item in page["items"]]
    with read_store(server.settings) as store, store.read() as read:
        assert records == [row.entry_id.hex() for row in read.records(RecordFilter(limit=10_000))]
    assert len(records) > 20
