from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from wattseal.core.note_key import (
    CosignatureV1Signer,
    Ed25519Signer,
    SignatureType,
    Verifier,
    cosigned_message,
    decode_base64,
)
from wattseal.core.refusal import Refusal

SEED = bytes(range(32))
LOG = Ed25519Signer("log.example/energy", SEED)
WITNESS = CosignatureV1Signer("witness.example/w1", SEED)
TEXT = b"log.example/energy\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"


def spki(curve: ec.EllipticCurve) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    key = ec.generate_private_key(curve)
    return key, key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def vkey(name: str, material: bytes, key_id: bytes | None = None) -> str:
    if key_id is None:
        key_id = sha256(name.encode() + b"\n" + material).digest()[:4]
    return f"{name}+{key_id.hex()}+{base64.b64encode(material).decode()}"


# --- Text forms -------------------------------------------------------------------------------------------------------


def test_text_forms_lead_back_to_the_key() -> None:
    for signer in (LOG, WITNESS):
        assert Verifier.from_vkey(signer.verifier.vkey) == signer.verifier
        assert type(signer).from_skey(signer.skey).verifier == signer.verifier
        assert signer.skey == f"PRIVATE+KEY+{signer.verifier.vkey[: -len(signer.verifier.vkey.split('+', 2)[2])]}" + (
            base64.b64encode(bytes((signer.kind,)) + SEED).decode()
        )
    assert LOG.verifier.vkey == vkey("log.example/energy", b"\x01" + LOG.verifier.public_key)
    assert WITNESS.verifier.vkey == vkey("witness.example/w1", b"\x04" + WITNESS.verifier.public_key)
    assert LOG.verifier.public_key == WITNESS.verifier.public_key
    assert LOG.verifier.key_id != WITNESS.verifier.key_id


def test_a_signer_does_not_show_its_secret() -> None:
    shown = repr(LOG) + str(LOG)
    assert SEED.hex() not in shown
    assert LOG.skey.split("+")[-1] not in shown
    for skey in (LOG.skey[:-4], f"{LOG.skey}AAAA", LOG.skey.replace("PRIVATE", "SECRET")):
        with pytest.raises(Refusal) as refused:
            Ed25519Signer.from_skey(skey)
        assert skey[-20:-4] not in str(refused.value)


PUBLIC = LOG.verifier.public_key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "log.example",
        "log.example+00000000",
        vkey("log.example", b"\x01" + PUBLIC, b"\x00\x00\x00\x00"),
        vkey("log.example", b"\x01" + PUBLIC).upper(),
        vkey("log.example", b"\x01" + PUBLIC) + "\n",
        vkey("log.example", b"\x01" + PUBLIC[:31]),
        vkey("log.example", b"\x01" + PUBLIC + b"\x00"),
        vkey("log.example", b"\x01"),
        vkey("log.example", b""),
        vkey("log.example", b"\x03" + PUBLIC),
        vkey("log.example", b"\x05" + PUBLIC),
        vkey("log.example", b"\x06" + bytes(1312)),
        vkey("log.example", b"\xff" + PUBLIC),
        vkey("", b"\x01" + PUBLIC),
        vkey("log example", b"\x01" + PUBLIC),
        vkey("log\u00a0example", b"\x01" + PUBLIC),
        vkey("log\x1bexample", b"\x01" + PUBLIC),
        vkey("log+example", b"\x01" + PUBLIC),
        vkey("n" * 1025, b"\x01" + PUBLIC),
    ],
)
def test_vkeys_that_are_refused(text: str) -> None:
    with pytest.raises(Refusal):
        Verifier.from_vkey(text)


def test_how_long_text_forms_may_be() -> None:
    for name in ("n", "n" * 1024):
        assert Verifier.from_vkey(vkey(name, b"\x01" + PUBLIC)).name == name
    with pytest.raises(Refusal, match="1 to 1024 bytes"):
        Verifier.from_vkey(vkey("n" * 1025, b"\x01" + PUBLIC))
    with pytest.raises(Refusal, match="1 to 1024 bytes"):
        Verifier("", SignatureType.ED25519, PUBLIC)
    with pytest.raises(Refusal, match="longer than 4096"):
        Verifier.from_vkey("+" * 4097)
    with pytest.raises(Refusal, match="0x2b is not supported"):
        Verifier.from_vkey("n+00000000+" + "Kysr" * 1021)
    for skey in (LOG.skey + "A" * 4096, LOG.skey.replace("PRIVATE+KEY+", ""), "PRIVATE+KEY+a+b"):
        with pytest.raises(Refusal, match="not of the form"):
            Ed25519Signer.from_skey(skey)


def test_skeys_that_are_refused() -> None:
    for skey in (WITNESS.skey, "", LOG.verifier.vkey, LOG.skey + "=", LOG.skey.replace("energy", "water")):
        with pytest.raises(Refusal):
            Ed25519Signer.from_skey(skey)
    with pytest.raises(Refusal):
        Ed25519Signer("log.example", bytes(31))
    with pytest.raises(Refusal, match="0x04"):
        CosignatureV1Signer.from_skey(LOG.skey)
    with pytest.raises(Refusal):
        Ed25519Signer("log\ud800example", SEED)


@given(st.binary(max_size=50))
def test_base64_has_one_spelling(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    assert decode_base64("here", text) == data
    for bad in (f"{text}\n", f" {text}", f"{text}=", text.rstrip("=") + "*", text + "\u00e9"):
        with pytest.raises(Refusal, match="here"):
            decode_base64("here", bad)


def test_base64_with_stray_bits_is_refused() -> None:
    assert base64.b64decode("QQ==") == base64.b64decode("QR==") == b"A"
    with pytest.raises(Refusal):
        decode_base64("here", "QR==")


# --- Signatures -------------------------------------------------------------------------------------------------------


def test_log_signatures() -> None:
    line = LOG.sign(TEXT)
    assert (line.name, line.key_id, len(line.signature)) == (LOG.verifier.name, LOG.verifier.key_id, 64)
    assert LOG.verifier.verify(TEXT, line.signature) is None
    for text, signature in (
        (TEXT + b"\n", line.signature),
        (TEXT, line.signature[:-1]),
        (TEXT, line.signature + b"\x00"),
        (TEXT, b""),
        (TEXT, bytes(64)),
        (TEXT, WITNESS.sign(TEXT, 1).signature),
    ):
        with pytest.raises(Refusal):
            LOG.verifier.verify(text, signature)


@given(st.integers(0, 2**63 - 1))
def test_cosignatures_carry_their_time(time: int) -> None:
    line = WITNESS.sign(TEXT, time)
    assert WITNESS.verifier.verify(TEXT, line.signature) == time
    assert cosigned_message(TEXT, time) == f"cosignature/v1\ntime {time}\n".encode() + TEXT
    other = ((time + 1) % 2**63).to_bytes(8, "big") + line.signature[8:]
    with pytest.raises(Refusal, match="does not fit"):
        WITNESS.verifier.verify(TEXT, other)
    for signature in (line.signature[8:], line.signature[:-1], line.signature + b"\x00", b""):
        with pytest.raises(Refusal, match="72 bytes"):
            WITNESS.verifier.verify(TEXT, signature)
    with pytest.raises(Refusal):
        WITNESS.verifier.verify(TEXT[:-1], line.signature)


def test_cosignature_times_out_of_range_are_refused() -> None:
    for time in (-1, 2**63):
        with pytest.raises(Refusal):
            WITNESS.sign(TEXT, time)
    signature = (2**63).to_bytes(8, "big") + LOG._private_key.sign(cosigned_message(TEXT, 2**63))
    with pytest.raises(Refusal, match="time"):
        WITNESS.verifier.verify(TEXT, signature)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_ecdsa_keys_are_known_by_their_spki(curve: ec.EllipticCurve) -> None:
    key, der = spki(curve)
    verifier = Verifier.from_vkey(vkey("log.example", b"\x02" + der, sha256(der).digest()[:4]))
    assert verifier.kind is SignatureType.ECDSA
    assert verifier.vkey == vkey("log.example", b"\x02" + der, sha256(der).digest()[:4])
    signature = key.sign(TEXT, ec.ECDSA(SHA256()))
    assert verifier.verify(TEXT, signature) is None
    for text, bad in ((TEXT + b"x", signature), (TEXT, signature[:-1]), (TEXT, b""), (TEXT, bytes(64))):
        with pytest.raises(Refusal):
            verifier.verify(text, bad)


def test_ecdsa_keys_that_are_refused() -> None:
    _, der = spki(ec.SECP256R1())
    _, koblitz = spki(ec.SECP256K1())
    ed25519 = LOG._private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for bad in (der[:-1], der + b"\x00", b"", koblitz, ed25519, der[-65:]):
        with pytest.raises(Refusal):
            Verifier("log.example", SignatureType.ECDSA, bad)
    point = load_der_public_key(der)
    assert isinstance(point, ec.EllipticCurvePublicKey)
    compressed = point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    # Another spelling of the same key, and so another key ID.
    respelled = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + compressed
    assert load_der_public_key(respelled) == point
    with pytest.raises(Refusal, match="not canonical"):
        Verifier("log.example", SignatureType.ECDSA, respelled)


# --- Edge cases of Ed25519 (C2SP CCTV) --------------------------------------------------------------------------------


def accepts(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def test_which_ed25519_signatures_are_accepted(fixtures_dir: Path) -> None:
    """The library verifies without the cofactor, and we refuse public keys that are none.

    cryptography (OpenSSL) computes R = S·B - k·A and compares the 32 bytes. So it refuses a signature whose equation
    holds only after multiplication by the cofactor (`low_order_residue`) and an R that is not canonically encoded. It
    does accept a public key of small order, under which one signature fits many texts, or one not canonically encoded:
    Verifier refuses those. Whatever is accepted here, a verifier that multiplies by the cofactor accepts as well.
    """
    cases = json.loads((fixtures_dir / "tlog" / "cctv_ed25519" / "ed25519vectors.json").read_bytes())
    verdicts: dict[str, int] = {"library": 0, "key refused": 0, "accepted": 0}
    for case in cases:
        flags = set(case["flags"] or ())
        key, signature = bytes.fromhex(case["key"]), bytes.fromhex(case["sig"])
        message = case["msg"].encode()
        good = flags.isdisjoint({"low_order_residue", "non_canonical_R"})
        assert accepts(key, message, signature) == good, case
        verdicts["library"] += good
        try:
            verifier = Verifier("log.example", SignatureType.ED25519, key)
        except Refusal:
            assert flags & {"low_order_A", "non_canonical_A"}, case
            verdicts["key refused"] += 1
            continue
        assert not flags & {"low_order_A", "non_canonical_A"}, case
        if not good:
            with pytest.raises(Refusal):
                verifier.verify(message, signature)
            continue
        assert verifier.verify(message, signature) is None
        verdicts["accepted"] += 1
    assert len(cases) == 914
    assert verdicts == {"library": 208, "key refused": 526, "accepted": 86}


def test_a_signature_with_a_larger_scalar_is_refused() -> None:
    """S + L instead of S would be a second signature of the same text (RFC 8032 §5.1.7 refuses it)."""
    order = 2**252 + 27742317777372353535851937790883648493
    signature = LOG.sign(TEXT).signature
    scalar = int.from_bytes(signature[32:], "little") + order
    with pytest.raises(Refusal):
        LOG.verifier.verify(TEXT, signature[:32] + scalar.to_bytes(32, "little"))
