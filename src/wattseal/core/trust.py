"""What a verifier trusts: the file `trust.toml`, which never comes with a bundle (docs/spec/proof.md §2)."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from wattseal.core import jcs
from wattseal.core.anchor_check import ChainTrust
from wattseal.core.bitcoin.digest import from_display
from wattseal.core.bitcoin.header import HEADER_BYTES, parse_header
from wattseal.core.document import Members
from wattseal.core.note_key import Verifier
from wattseal.core.policy import Policy
from wattseal.core.reading import kid_of, load_public_key
from wattseal.core.refusal import Refusal
from wattseal.core.registry import PROVENANCES

MAX_TRUST_BYTES = 2**20
_MAX_HEIGHT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class TrustedLog:
    """A log by its key; `last_seen` is a checkpoint (signed note) of it that the verifier saw earlier."""

    verifier: Verifier
    simulated: bool
    last_seen: bytes | None


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A device key that the verifier knows by themselves, and to what they limit it; None: no limit."""

    public_key: bytes
    simulated: bool
    site_id: str | None
    iot_device_id: str | None
    meter_id: str | None
    valid_from_s: int | None
    valid_until_s: int | None
    provenance: str | None


@dataclass(frozen=True, slots=True)
class Trust:
    """Everything that a verifier brings. The empty one trusts nobody."""

    logs: tuple[TrustedLog, ...] = ()
    policy: Policy | None = None
    device_keys: tuple[TrustedKey, ...] = ()
    chains: tuple[ChainTrust, ...] = ()

    def log(self, origin: str) -> TrustedLog | None:
        """The trusted log of that origin."""
        return next((log for log in self.logs if log.verifier.name == origin), None)

    def key(self, kid: bytes) -> TrustedKey | None:
        """The trusted key of that id."""
        return next((key for key in self.device_keys if kid_of(key.public_key) == kid), None)

    def chain(self, name: str) -> ChainTrust | None:
        """What is trusted of that chain."""
        return next((chain for chain in self.chains if chain.chain == name), None)


class _Table(Members):
    """A TOML table: members may be left out, and a time may be a TOML time."""

    def has(self, name: str) -> bool:
        return name in self._rest

    def flag(self, name: str) -> bool:
        return self.boolean(name) if self.has(name) else False

    def id_or_none(self, name: str) -> str | None:
        return self.identifier(name) if self.has(name) else None

    def time_or_none(self, name: str) -> int | None:
        return self.time(name) if self.has(name) else None


def parse_trust(text: str, read_file: Callable[[str], bytes]) -> Trust:
    """Trust from the text of a trust file. `read_file` gives the bytes of a headers file named in it."""
    table = _Table(_load(text))
    table.integer("version", 1, 1)
    policy = None
    if table.has("policy"):
        chosen = _Table(table.any("policy"), "policy")
        policy = Policy.parse(chosen.text("text", 2**18).encode())
        chosen.done()
    trust = Trust(
        tuple(_log(item) for item in _array(table, "log")),
        policy,
        tuple(_key(item) for item in _array(table, "device_key")),
        tuple(_chain(item, read_file) for item in _array(table, "chain")),
    )
    table.done()
    # Only one of two could be asked, and nobody would be told which.
    for field, names in (
        ("log.origin", [log.verifier.name for log in trust.logs]),
        ("device_key.public_key", [key.public_key for key in trust.device_keys]),
        ("chain.name", [chain.chain for chain in trust.chains]),
    ):
        if len(set(names)) != len(names):
            raise Refusal(field, "is given twice")
    return trust


def _load(text: str) -> jcs.Json:
    if len(text) > MAX_TRUST_BYTES:
        raise Refusal("trust", f"is longer than {MAX_TRUST_BYTES} characters")
    try:
        text.encode()
        return _plain(tomllib.loads(text, parse_float=_no_float))
    except Refusal:
        raise
    except ValueError as error:
        # Not TOML; or what tomllib lets through as a plain ValueError, like a number of thousands of digits.
        raise Refusal("trust", f"is no TOML: {error}") from None
    except RecursionError:
        raise Refusal("trust", "is nested too deeply") from None


def _no_float(literal: str) -> object:
    raise Refusal("trust", f"has no place for the number {literal[:40]}")


def _plain(value: object) -> jcs.Json:
    """TOML values as JSON has them; a time becomes its RFC 3339 text."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str | int):
        return value
    raise Refusal("trust", "has a value that is no text, number, truth, time or list")


def _array(table: _Table, name: str) -> list[jcs.Json]:
    return table.list(name, 10_000) if table.has(name) else []


def _log(value: jcs.Json) -> TrustedLog:
    table = _Table(value, "log")
    verifier = Verifier.from_vkey(table.text("vkey", 4_096))
    if table.text("origin", 1_024) != verifier.name:
        raise Refusal("log.origin", "is not the name in vkey")
    log = TrustedLog(
        verifier, table.flag("simulated"), table.text("last_seen", 2**16).encode() if table.has("last_seen") else None
    )
    table.done()
    return log


def _key(value: jcs.Json) -> TrustedKey:
    table = _Table(value, "device_key")
    public_key = table.hex("public_key", 64)
    load_public_key(public_key)
    key = TrustedKey(
        public_key,
        table.flag("simulated"),
        table.id_or_none("site_id"),
        table.id_or_none("iot_device_id"),
        table.id_or_none("meter_id"),
        table.time_or_none("valid_from"),
        table.time_or_none("valid_until"),
        table.one_of("provenance", PROVENANCES) if table.has("provenance") else None,
    )
    table.done()
    return key


def _chain(value: jcs.Json, read_file: Callable[[str], bytes]) -> ChainTrust:
    table = _Table(value, "chain")
    name, simulated = table.text("name", 32), table.flag("simulated")
    blocks: dict[int, bytes] = {}
    if table.has("headers_file"):
        first = table.integer("first_height", 0, _MAX_HEIGHT)
        blocks.update(_headers(read_file(table.text("headers_file", 1_024)), first))
    for item in _array(table, "blocks"):
        block = _Table(item, "chain.blocks")
        height, block_hash = block.integer("height", 0, _MAX_HEIGHT), from_display(block.text("hash", 64))
        block.done()
        # A chain has one block at a height. Which of two is meant, nobody could say.
        if blocks.setdefault(height, block_hash) != block_hash:
            raise Refusal("chain.blocks", f"the block {height} is given with two hashes")
    min_work = int.from_bytes(table.hex("min_work"), "big") if table.has("min_work") else None
    table.done()
    return ChainTrust(name, simulated, blocks, min_work)


def _headers(data: bytes, first: int) -> dict[int, bytes]:
    """Hashes by height of a file of linked 80-byte headers, so that one known block speaks for those around it."""
    if not data or len(data) % HEADER_BYTES:
        raise Refusal("chain.headers_file", f"must hold whole headers of {HEADER_BYTES} bytes")
    hashes: dict[int, bytes] = {}
    before: bytes | None = None
    for at in range(0, len(data), HEADER_BYTES):
        header = parse_header(data[at : at + HEADER_BYTES])
        height = first + at // HEADER_BYTES
        if before is not None and header.prev_hash != before:
            raise Refusal("chain.headers_file", f"the header of block {height} does not follow the one before it")
        before = hashes[height] = header.hash()
    return hashes
