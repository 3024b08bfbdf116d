"""A secure element in software: a P-256 key with the chain that it signs. Its key is always registered as simulated."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, derive_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from wattseal.core.reading import assemble, kid_of, signed_bytes
from wattseal.core.registry import DeviceKey

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_SERIAL_BYTES = 9
_ALGORITHM = ECDSA(SHA256())


def _digest(seed: bytes, purpose: bytes) -> bytes:
    return hashlib.sha256(b"wattseal/simulate/1\n" + purpose + seed).digest()


class SimulatedElement:
    """A key that follows from a seed, so that a simulated fleet is the same whenever it is made again."""

    def __init__(self, seed: bytes) -> None:
        scalar = int.from_bytes(_digest(seed, b"key"), "big") % (_ORDER - 1) + 1
        self._key: EllipticCurvePrivateKey = derive_private_key(scalar, SECP256R1())
        point = self._key.public_key().public_numbers()
        self.public_key = point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")
        self.kid = kid_of(self.public_key)
        self.serial = _digest(seed, b"serial")[:_SERIAL_BYTES]

    def device_key(self, site_id: str, device_id: str, valid_from_s: int) -> DeviceKey:
        """The registry entry of this key, which says that it is simulated."""
        return DeviceKey(
            self.public_key, site_id, device_id, self.serial, valid_from_s, None, "registered", simulated=True
        )

    def sign(self, payload: bytes) -> bytes:
        """The COSE bytes of a reading with that payload."""
        r, s = decode_dss_signature(self._key.sign(signed_bytes(self.kid, payload), _ALGORITHM))
        return assemble(self.kid, payload, r.to_bytes(32, "big") + s.to_bytes(32, "big"))
