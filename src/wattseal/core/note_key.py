"""The keys of signed notes (C2SP signed-note and tlog-cosignature): verifiers, signers and their text forms.

A key is known by its name and its key ID together. The public one is written as a vkey,
`<name>+<key ID in hex>+<base64 of type ‖ public key>`, the secret one as `PRIVATE+KEY+` before the same over the seed.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from typing import Final, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from wattseal.core.refusal import Refusal

KEY_ID_BYTES: Final = 4
SEED_BYTES: Final = 32
MAX_NAME_BYTES: Final = 1024
MAX_VKEY_CHARS: Final = 4096
MAX_TIME: Final = 2**63 - 1

_PRIVATE_PREFIX: Final = "PRIVATE+KEY+"
_ED25519_SIGNATURE_BYTES: Final = 64
_TIME_BYTES: Final = 8

# RFC 8032 §5.1: the prime of the field, and the y-coordinates of the eight points of small order. Under such a public
# key one signature fits many texts, so it is no key.
_P: Final = 2**255 - 19
_Y_OF_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_Y_OF_SMALL_ORDER: Final = frozenset({0, 1, _P - 1, _Y_OF_ORDER_8, _P - _Y_OF_ORDER_8})


class SignatureType(IntEnum):
    """The first byte of a vkey's key material, of the types that are verified here."""

    ED25519 = 0x01
    ECDSA = 0x02
    COSIGNATURE_V1 = 0x04


def decode_base64(where: str, text: str) -> bytes:
    """Decode standard base64 with padding (RFC 4648 §4). Refuses all but the one canonical spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Refusal(where, "not base64") from None
    if base64.b64encode(data).decode("ascii") != text:
        raise Refusal(where, "not canonical base64")
    return data


def encode_base64(data: bytes) -> str:
    """Encode as standard base64 with padding."""
    return base64.b64encode(data).decode("ascii")


def check_name(name: str) -> bytes:
    """Return a key name's UTF-8 bytes. Refuses an empty name, white space, control characters and the plus sign."""
    try:
        encoded = name.encode("utf-8")
    except UnicodeEncodeError:
        raise Refusal("key.name", "not valid UTF-8") from None
    if not 0 < len(encoded) <= MAX_NAME_BYTES:
        raise Refusal("key.name", f"a name has 1 to {MAX_NAME_BYTES} bytes")
    if any(char == "+" or char < " " or char.isspace() for char in name):
        raise Refusal("key.name", "a name has no white space, no control character and no plus sign")
    return encoded


def _key_id(kind: SignatureType, name: bytes, public_key: bytes) -> bytes:
    # C2SP signed-note: ECDSA keys, which came with Rekor, are known by the hash of their SPKI alone.
    preimage = public_key if kind is SignatureType.ECDSA else name + b"\n" + bytes((kind,)) + public_key
    return sha256(preimage).digest()[:KEY_ID_BYTES]


def cosigned_message(text: bytes, time: int) -> bytes:
    """What a cosignature/v1 signs: two lines before the checkpoint's body (C2SP tlog-cosignature)."""
    return b"cosignature/v1\ntime %d\n%b" % (time, text)


def _load_ed25519(public_key: bytes) -> Ed25519PublicKey:
    if len(public_key) != SEED_BYTES:
        raise Refusal("key.public", "an Ed25519 public key has 32 bytes")
    y = int.from_bytes(public_key, "little") & (2**255 - 1)
    if y >= _P or y in _Y_OF_SMALL_ORDER:
        raise Refusal("key.public", "not a usable Ed25519 public key: a point of small order or not canonical")
    return Ed25519PublicKey.from_public_bytes(public_key)


def _load_ecdsa(public_key: bytes) -> EllipticCurvePublicKey:
    try:
        key = load_der_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm):
        raise Refusal("key.public", "not a public key in DER SPKI form") from None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1 | SECP384R1 | SECP521R1):
        raise Refusal("key.public", "an ECDSA note key lies on P-256, P-384 or P-521")
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != public_key:
        raise Refusal("key.public", "not canonical DER")
    return key


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key that note signatures are checked with.

    `public_key` is the 32 bytes of RFC 8032, or for ECDSA the DER SPKI. Refuses a name or key that is not usable.
    """

    name: str
    kind: SignatureType
    public_key: bytes
    key_id: bytes = field(init=False)
    _key: Ed25519PublicKey | EllipticCurvePublicKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        name = check_name(self.name)
        load = _load_ecdsa if self.kind is SignatureType.ECDSA else _load_ed25519
        object.__setattr__(self, "_key", load(self.public_key))
        object.__setattr__(self, "key_id", _key_id(self.kind, name, self.public_key))

    @classmethod
    def from_vkey(cls, vkey: str) -> Self:
        """Read a vkey. Refuses a signature type that is not verified here, and a key ID that is not the key's."""
        if len(vkey) > MAX_VKEY_CHARS:
            raise Refusal("vkey", f"longer than {MAX_VKEY_CHARS} characters")
        parts = vkey.split("+", 2)
        if len(parts) != 3:
            raise Refusal("vkey", "not of the form <name>+<key ID>+<key>")
        name, key_id, key = parts
        material = decode_base64("vkey.key", key)
        verifier = cls(name, _signature_type("vkey.type", material[:1]), material[1:])
        if key_id != verifier.key_id.hex():
            raise Refusal("vkey.id", "the key ID does not belong to this name and key")
        return verifier

    @property
    def vkey(self) -> str:
        """The key's text form."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(bytes((self.kind,)) + self.public_key)}"

    def verify(self, text: bytes, signature: bytes) -> int | None:
        """Check a signature, given without its key ID, over a note's text; refuse it if it is bad.

        Returns the Unix time in seconds that a cosignature states, None for the other types.
        """
        time = None
        message = text
        if self.kind is SignatureType.COSIGNATURE_V1:
            if len(signature) != _TIME_BYTES + _ED25519_SIGNATURE_BYTES:
                raise Refusal("signature", f"a cosignature of {self.name} has 72 bytes")
            time = int.from_bytes(signature[:_TIME_BYTES], "big")
            if time > MAX_TIME:
                raise Refusal("signature.time", f"the time of {self.name} is above 2**63 - 1")
            message, signature = cosigned_message(text, time), signature[_TIME_BYTES:]
        try:
            if isinstance(self._key, Ed25519PublicKey):
                self._key.verify(signature, message)
            else:
                self._key.verify(signature, message, ECDSA(SHA256()))
        except InvalidSignature:
            raise Refusal("signature", f"the signature of {self.name} does not fit the text") from None
        return time


def _signature_type(where: str, byte: bytes) -> SignatureType:
    try:
        return SignatureType(int.from_bytes(byte, "big"))
    except ValueError:
        raise Refusal(where, f"signature type 0x{byte.hex() or '00'} is not supported") from None


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One signature of a note. `signature` comes after the key ID and, for a cosignature, begins with its time."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"\u2014 {self.name} {encode_base64(self.key_id + self.signature)}\n"


class _Signer:
    """A secret Ed25519 key with a name. Keep it out of logs: its `skey` is the secret."""

    __slots__ = ("_private_key", "_seed", "verifier")

    kind: SignatureType

    def __init__(self, name: str, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise Refusal("seed", "an Ed25519 seed has 32 bytes")
        self._seed = seed
        self._private_key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(name, self.kind, self._private_key.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.verifier.vkey!r})"

    @classmethod
    def from_skey(cls, skey: str) -> Self:
        """Read the secret key's text form. Refuses a key of another type. A refusal never repeats the key."""
        parts = skey.removeprefix(_PRIVATE_PREFIX).split("+", 2) if len(skey) <= MAX_VKEY_CHARS else []
        if len(parts) != 3 or not skey.startswith(_PRIVATE_PREFIX):
            raise Refusal("skey", f"not of the form {_PRIVATE_PREFIX}<name>+<key ID>+<seed>")
        name, key_id, key = parts
        material = decode_base64("skey.seed", key)
        if _signature_type("skey.type", material[:1]) is not cls.kind:
            raise Refusal("skey.type", f"not a key of type 0x{cls.kind:02x}")
        signer = cls(name, material[1:])
        if key_id != signer.verifier.key_id.hex():
            raise Refusal("skey.id", "the key ID does not belong to this name and key")
        return signer

    @property
    def skey(self) -> str:
        """The secret key's text form."""
        key = encode_base64(bytes((self.kind,)) + self._seed)
        return f"{_PRIVATE_PREFIX}{self.verifier.name}+{self.verifier.key_id.hex()}+{key}"


class Ed25519Signer(_Signer):
    """Signs notes as a log does. The key's name of a log is its origin."""

    __slots__ = ()

    kind = SignatureType.ED25519

    def sign(self, text: bytes) -> SignatureLine:
        """Sign a note's text."""
        return SignatureLine(self.verifier.name, self.verifier.key_id, self._private_key.sign(text))


class CosignatureV1Signer(_Signer):
    """Signs checkpoints as a witness does. Each witness needs a key of its own: the name is not under the signature."""

    __slots__ = ()

    kind = SignatureType.COSIGNATURE_V1

    def sign(self, text: bytes, time: int) -> SignatureLine:
        """Cosign a checkpoint's body at a time, in Unix seconds, at which it was the largest one seen of its log."""
        if not 0 <= time <= MAX_TIME:
            raise Refusal("time", "a cosignature's time is from 0 to 2**63 - 1")
        signature = time.to_bytes(_TIME_BYTES, "big") + self._private_key.sign(cosigned_message(text, time))
        return SignatureLine(self.verifier.name, self.verifier.key_id, signature)
