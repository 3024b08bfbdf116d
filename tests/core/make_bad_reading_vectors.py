"""The refused readings of vectors/reading.json. All are signed well, so that the form alone is what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import utils

from tests.core.reading_samples import FULL, KID, TOP, TYPICAL, U32, cose, sign
from tests.core.refused import refused
from wattseal.core import cbor
from wattseal.core.reading import Reading, assemble, encode_payload, parse_envelope, parse_payload


def head(major: int, argument: bytes) -> bytes:
    """A CBOR head whose argument is written in these bytes, shortest or not."""
    return bytes((major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[len(argument)],)) + argument


ITEMS: Final = {key: cbor.encode(value) for key, value in cbor.decode(encode_payload(FULL)).items()}  # type: ignore[union-attr]  # a payload is a map
"""The encoded values of FULL by key."""


def a_map(items: dict[int, bytes]) -> bytes:
    return bytes((0xA0 | len(items),)) + b"".join(cbor.encode(key) + value for key, value in items.items())


def changed(key: int, value: bytes) -> bytes:
    return a_map({**ITEMS, key: value})


BAD_VALUES: Final[tuple[tuple[str, int, cbor.Encodable], ...]] = (
    ("format version 0", 1, 0),
    ("format version 2", 1, 2),
    ("format version as text", 1, "1"),
    ("serial of 0 bytes", 2, b""),
    ("serial of 33 bytes", 2, bytes(33)),
    ("serial as text", 2, "0123"),
    ("meter id empty", 3, ""),
    ("meter id of 65 characters", 3, "m" * 65),
    ("meter id beginning with a dot", 3, ".MTR"),
    ("meter id with a slash", 3, "MTR/1"),
    ("meter id with a newline at its end", 3, "MTR-001\n"),
    ("meter id with a letter outside of ASCII", 3, "Zähler"),
    ("meter id with a digit outside of ASCII", 3, "MTR-\u0661"),
    ("meter id as bytes", 3, b"MTR-001"),
    ("epoch beyond 32 bits", 4, U32 + 1),
    ("epoch negative", 4, -1),
    ("seq beyond 32 bits", 5, U32 + 1),
    ("seq negative", 5, -1),
    ("time after the year 9999", 6, 253_402_300_800),
    ("time negative", 6, -1),
    ("clock quality 4", 7, 4),
    ("import register beyond 2^53 - 1", 8, TOP + 1),
    ("import register negative", 8, -1),
    ("import register as text", 8, "5"),
    ("export register beyond 2^53 - 1", 9, TOP + 1),
    ("active power above 10^12", 10, 10**12 + 1),
    ("active power below -10^12", 10, -(10**12) - 1),
    ("flags 32", 11, 32),
    ("flags negative", 11, -1),
    ("firmware id of 7 bytes", 12, bytes(7)),
    ("firmware id of 9 bytes", 12, bytes(9)),
    ("prev of 31 bytes", 13, bytes(31)),
    ("prev of 33 bytes", 13, bytes(33)),
    ("prev as text", 13, "p" * 32),
    ("beacon with 7 bytes", 14, [1, bytes(7)]),
    ("beacon with 9 bytes", 14, [1, bytes(9)]),
    ("beacon height beyond 32 bits", 14, [U32 + 1, bytes(8)]),
    ("beacon height negative", 14, [-1, bytes(8)]),
    ("beacon of three", 14, [1, bytes(8), 0]),
    ("beacon as bytes", 14, bytes(8)),
    ("voltage negative", 15, -1),
    ("voltage above 10^9", 15, 10**9 + 1),
    ("current above 10^9", 16, 10**9 + 1),
    ("current below -10^9", 16, -(10**9) - 1),
    ("temperature below absolute zero", 17, -273_151),
    ("temperature above 10^6", 17, 10**6 + 1),
    ("profile of 0 samples", 18, []),
    ("profile of 61 samples", 18, [[1, 0, 0, 0]] * 61),
    ("profile sample of 3 numbers", 18, [[1, 0, 0]]),
    ("profile sample of 5 numbers", 18, [[1, 0, 0, 0, 0]]),
    ("profile sample of 0 seconds", 18, [[0, 0, 0, 0]]),
    ("profile sample with a register that falls", 18, [[1, -1, 0, 0]]),
    ("profile sample as a map", 18, [{1: 1}]),
    ("source digest of 31 bytes", 19, bytes(31)),
    ("source digest of 33 bytes", 19, bytes(33)),
)
"""What, key, value: values that are well encoded and not allowed."""


def _bad_payloads() -> Iterator[tuple[str, str, bytes]]:
    for name, key, value in BAD_VALUES:
        yield name, "reading.md §2", changed(key, cbor.encode(value))
    for key in range(1, 14):
        yield f"key {key} missing", "reading.md §2", a_map({at: item for at, item in ITEMS.items() if at != key})
    form = "RFC 8949 §4.2.1"
    yield "unknown key 20", "reading.md §2", a_map({**ITEMS, 20: b"\x00"})
    yield "unknown key 0", "reading.md §2", a_map({0: b"\x00", **ITEMS})
    yield "unknown key -1", "reading.md §2", a_map({**ITEMS, -1: b"\x00"})
    yield "text key", "reading.md §2", b"\xb4" + a_map(ITEMS)[1:] + b"\x61a\x00"
    yield "keys out of order", form, a_map({key: ITEMS[key] for key in (2, 1, *range(3, 20))})
    yield "a key twice", form, b"\xb4" + a_map(ITEMS)[1:] + b"\x13" + ITEMS[19]
    yield "a key not in its shortest form", form, b"\xb3\x18\x01" + a_map(ITEMS)[2:]
    for size in (1, 2, 4, 8):
        yield f"integer in {size} bytes too many", form, changed(5, head(0, (17).to_bytes(size, "big")))
    yield "register in 8 bytes that fits 4", form, changed(9, head(0, (42_000).to_bytes(8, "big")))
    yield "negative integer not in its shortest form", form, changed(16, head(1, (6_399).to_bytes(4, "big")))
    yield "text length not in its shortest form", form, changed(3, head(3, b"\x07") + b"MTR-001")
    yield "byte string length not in its shortest form", form, changed(12, head(2, b"\x08") + bytes(8))
    yield "array length not in its shortest form", form, changed(14, head(4, b"\x02") + b"\x01\x48" + bytes(8))
    yield "map length not in its shortest form", form, b"\xb8\x13" + a_map(ITEMS)[1:]
    yield "integer of 9 bytes", form, changed(8, b"\x1c" + bytes(16))
    yield "half float", "reading.md §2", changed(10, b"\xf9\x3c\x00")
    yield "single float", "reading.md §2", changed(10, b"\xfa\x3f\x80\x00\x00")
    yield "double float", "reading.md §2", changed(10, b"\xfb\x3f\xf0" + bytes(6))
    yield "false instead of 0", "reading.md §2", changed(11, b"\xf4")
    yield "null instead of a missing key", "reading.md §2", changed(15, b"\xf6")
    yield "tagged integer", "reading.md §2", changed(6, b"\xc1" + ITEMS[6])
    yield "bignum", "reading.md §2", changed(8, b"\xc2\x42\x01\x00")
    yield "payload map of indefinite length", form, b"\xbf" + a_map(ITEMS)[1:] + b"\xff"
    yield "text of indefinite length", form, changed(3, b"\x7f\x67MTR-001\xff")
    yield "byte string of indefinite length", form, changed(12, b"\x5f\x48" + bytes(8) + b"\xff")
    yield "beacon of indefinite length", form, changed(14, b"\x9f\x01\x48" + bytes(8) + b"\xff")
    yield "text that is not UTF-8", "RFC 8949 §3.1", changed(3, b"\x62\xc3\x28")
    yield "text with a surrogate", "RFC 8949 §3.1", changed(3, b"\x63\xed\xa0\x80")
    yield "text in more bytes than UTF-8 needs", "RFC 8949 §3.1", changed(3, b"\x62\xc1\x81")
    yield "nested too deeply", "reading.md §2", changed(18, b"\x81\x81\x81\x81\x00")
    yield "a length beyond the end", form, changed(19, b"\x5b\x7f" + b"\xff" * 7)
    yield "an array longer than what is left", form, changed(18, b"\x9b" + b"\xff" * 8)
    yield "an array instead of a map", "reading.md §2", b"\x98\x18" + bytes(24)
    yield "a byte after the map", "reading.md §1", a_map(ITEMS) + b"\x00"
    yield "payload cut by one byte", "reading.md §2", a_map(ITEMS)[:-1]


def _bad_envelopes() -> Iterator[tuple[str, str, bytes]]:
    payload = encode_payload(TYPICAL)
    good = cose(payload)
    spec = "reading.md §1"
    for length in (0, 1, 2, 8, 24, 25, 90, 91, 92, len(good) - 64, len(good) - 1):
        yield f"cut to {length} bytes", spec, good[:length]
    yield "a byte after the signature", spec, good + b"\x00"
    yield "4097 bytes", spec, good + bytes(4_097 - len(good))
    yield "no tag", spec, good[1:]
    yield "tag 17", spec, b"\xd1" + good[1:]
    yield "tag 18 not in its shortest form", spec, b"\xd8\x12" + good[1:]
    yield "array of three", spec, good[:1] + b"\x83" + good[2:]
    yield "array of indefinite length", spec, good[:1] + b"\x9f" + good[2:] + b"\xff"
    yield "alg ES384", spec, good.replace(b"\xa2\x01\x26", b"\xa2\x01\x38\x22", 1).replace(b"\x55", b"\x56", 1)
    yield "alg EdDSA", spec, good.replace(b"\xa2\x01\x26", b"\xa2\x01\x27", 1)
    yield "kid before alg", spec, good[:2] + b"\x55\xa2\x04\x50" + KID + b"\x01\x26" + good[24:]
    yield "no kid", spec, good[:2] + b"\x43\xa1\x01\x26" + good[24:]
    yield "kid of 15 bytes", spec, good[:2] + b"\x54\xa2\x01\x26\x04\x4f" + KID[:15] + good[24:]
    yield "unprotected header with an alg", spec, good[:24] + b"\xa1\x01\x26" + good[25:]
    yield "unprotected header of indefinite length", spec, good[:24] + b"\xbf\xff" + good[25:]
    yield "payload detached (null)", spec, good[:25] + b"\xf6" + good[27 + len(payload) :]
    small = bytes(23)
    yield "payload of 23 bytes", spec, assemble(KID, small, sign(small))
    yield (
        "payload of 23 bytes after a byte of length",
        spec,
        good[:25] + b"\x58\x17" + small + b"\x58\x40" + sign(small),
    )
    long_form = good[:25] + b"\x59" + len(payload).to_bytes(2, "big") + good[27:]
    yield "payload length not in its shortest form", spec, long_form
    yield "payload length in 4 bytes", spec, good[:25] + b"\x5a" + len(payload).to_bytes(4, "big") + good[27:]
    yield "payload of indefinite length", spec, good[:25] + b"\x5f" + good[25:-66] + b"\xff" + good[-66:]
    yield "payload length one too small", spec, good[:26] + bytes((good[26] - 1,)) + good[27:]
    yield "payload length one too large", spec, good[:26] + bytes((good[26] + 1,)) + good[27:]
    yield "signature of 63 bytes", spec, good[:-66] + b"\x58\x3f" + good[-64:-1]
    yield "signature of 65 bytes", spec, good[:-66] + b"\x58\x41" + good[-64:] + b"\x00"
    der = utils.encode_dss_signature(int.from_bytes(good[-64:-32], "big"), int.from_bytes(good[-32:], "big"))
    yield "signature in DER", spec, good[:-66] + bytes((0x58, len(der))) + der


def _parse(data: bytes) -> Reading:
    return parse_payload(parse_envelope(data).payload)


def refusals() -> list[dict[str, Any]]:
    """The member `invalid`."""
    cases = [*_bad_envelopes(), *((name, spec, cose(payload)) for name, spec, payload in _bad_payloads())]
    return [{"name": name, "spec": spec, "cose": data.hex(), **refused(_parse, data)} for name, spec, data in cases]
