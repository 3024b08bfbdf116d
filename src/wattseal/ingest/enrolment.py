"""Changes of the registry: each is checked strictly, becomes an entry of the log, and counts when it is durable.

All methods take the writer's transaction and the time in Unix seconds; run them through `Ingest.call`. What is refused
raises Refusal, and nothing of that transaction stays.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

from wattseal.core.entry import entry_hash
from wattseal.core.note_key import Verifier
from wattseal.core.reading import load_public_key
from wattseal.core.refusal import Refusal
from wattseal.core.registry import (
    DeviceKey,
    Meter,
    Signer,
    Tariff,
    parse_device_key,
    parse_meter,
    parse_signer,
    parse_tariff,
)
from wattseal.ingest.draft import Logged, statement_draft
from wattseal.ingest.registry import SCHEMAS, Document, Registry
from wattseal.log.ids import new_ids
from wattseal.log.port import BOUNDARY, DETAIL, SET_ASIDE_IN_CHAIN, ReadingRow, SecretRow, Write
from wattseal.log.sequencer import Sequencer

_SECRET_BYTES = 32
_IN_CHAIN = (BOUNDARY, DETAIL, SET_ASIDE_IN_CHAIN)


class Enrolment:
    """The registry in force, and the way to change it. One thread changes; any thread may read `registry`."""

    def __init__(self, sequencer: Sequencer, registry: Registry) -> None:
        self._sequencer = sequencer
        self._committed = registry
        self._staged: Registry | None = None

    @property
    def registry(self) -> Registry:
        """The registry as it was last committed: a value that does not change any more."""
        return self._committed

    @property
    def staged(self) -> Registry:
        """The registry with what the running transaction changed."""
        return self._staged or self._committed

    def committed(self) -> None:
        """The transaction is durable: its changes are in force."""
        self._committed, self._staged = self.staged, None

    def rolled_back(self) -> None:
        """The transaction left nothing: nor do its changes."""
        self._staged = None

    def log_secret(self, tx: Write) -> SecretRow:
        """The secret of the log itself; made when it is first needed."""
        return self._secret(tx, None)

    def register_signer(self, tx: Write, now_s: int, signer: Signer) -> Logged:
        """Enter a signing key of the log, the operator, the gateway or a witness, or new limits for a known one."""
        parse_signer(signer.body())
        verifier = Verifier.from_vkey(signer.vkey)
        if verifier.vkey != signer.vkey or verifier.name != signer.name:
            raise Refusal("name", "must be the name in vkey, which must be in its canonical form")
        _check_validity(signer.valid_from_s, signer.valid_until_s)
        if self.staged.signers.get(signer.registry_name) == signer:
            raise Refusal("vkey", "is registered already, with these values")
        return self._log(tx, now_s, signer)

    def register_key(self, tx: Write, now_s: int, key: DeviceKey) -> Logged:
        """Enter a device's public key. Rotating and revoking have methods of their own."""
        self._check_key(key)
        if key.kid in self.staged.keys:
            raise Refusal("public_key", "is registered already; rotate or revoke it")
        if (key.reason, key.previous_kid, key.previous_digest) != ("registered", None, None):
            raise Refusal("reason", "a first registration names no previous key; to replace one, rotate it")
        return self._log(tx, now_s, key)

    def rotate_key(self, tx: Write, now_s: int, old_kid: bytes, key: DeviceKey) -> Sequence[Logged]:
        """Let `key` follow an older one, whose validity ends where the new one's begins, on all of its meters.

        The new key's entry names the old one and the digest of its last reading; then follow the old key's entry and
        those of the meters. Returns them in this order.
        """
        old = self._key(old_kid)
        if key.kid in self.staged.keys:
            raise Refusal("public_key", "is registered already; a key never comes back")
        if old.reason != "registered" and old.valid_until_s is not None:
            raise Refusal("previous_kid", f"was {old.reason} already")
        if (key.site_id, key.iot_device_id) != (old.site_id, old.iot_device_id):
            raise Refusal("iot_device_id", f"the old key belongs to {old.site_id}/{old.iot_device_id}")
        if key.valid_from_s <= old.valid_from_s:
            raise Refusal("valid_from", "must lie after that of the old key")
        last = self._last_reading(tx, old_kid)
        if last is not None and key.valid_from_s <= last.time_s:
            raise Refusal("valid_from", "must lie after the old key's last reading")
        new = replace(key, previous_kid=old_kid, previous_digest=last and last.digest, reason="rotated")
        self._check_key(new)
        ended = replace(old, valid_until_s=key.valid_from_s, reason="rotated")
        meters = [meter for meter in self.staged.meters.values() if old_kid in meter.kids]
        logged = [self._log(tx, now_s, new), self._log(tx, now_s, ended)]
        logged += [self.register_meter(tx, now_s, replace(meter, kids=(*meter.kids, new.kid))) for meter in meters]
        return logged

    def revoke_key(self, tx: Write, now_s: int, kid: bytes, at_s: int) -> Logged:
        """End a key's validity at a time; readings of that time or later are quarantined."""
        key = self._key(kid)
        if key.valid_until_s is not None and key.valid_until_s <= at_s:
            raise Refusal("valid_until", "the key is not valid any more at that time")
        if at_s <= key.valid_from_s:
            raise Refusal("valid_until", "must lie after valid_from")
        return self._log(tx, now_s, replace(key, valid_until_s=at_s, reason="revoked"))

    def register_meter(self, tx: Write, now_s: int, meter: Meter) -> Logged:
        """Enter a meter, or a known meter's new values. A new one gets its number and secret, each new key a chain."""
        if parse_meter(meter.body()) != meter:
            raise Refusal("meter", "is not in its canonical form")
        if self.staged.meters.get(meter.path) == meter:
            raise Refusal("meter_id", "is registered already, with these values")
        _check_zone(meter.zone)
        if len(set(meter.kids)) != len(meter.kids):
            raise Refusal("kid", "a key is listed twice")
        for kid in meter.kids:
            key, other = self._key(kid), self.staged.meter_of(kid, meter.meter_id)
            if (key.site_id, key.iot_device_id) != (meter.site_id, meter.iot_device_id):
                raise Refusal("kid", f"{kid.hex()} belongs to the device {key.site_id}/{key.iot_device_id}")
            if other is not None and other.path != meter.path:
                raise Refusal("meter_id", f"the key {kid.hex()} already means {other.path} by it")
        staged = self._stage()
        meter_no = staged.meter_nos.get(meter.path)
        if meter_no is None:
            meter_no = tx.add_meter(meter.site_id, meter.iot_device_id, meter.meter_id)
            staged.meter_nos[meter.path] = meter_no
        self._secret(tx, meter_no)
        for kid in meter.kids:
            if (kid, meter_no) not in staged.chain_nos:
                staged.chain_nos[kid, meter_no] = tx.add_chain(kid, meter_no)
        return self._log(tx, now_s, meter)

    def add_tariff(self, tx: Write, now_s: int, tariff: Tariff) -> Logged:
        """Enter a tariff version. A version is never edited: what was quoted by it must stay what it was."""
        if parse_tariff(tariff.body()) != tariff:
            raise Refusal("tariff", "is not in its canonical form")
        if tariff.label in self.staged.tariffs:
            raise Refusal("version", f"{tariff.label} is in the log, and a version is never edited; add the next one")
        if len(set(tariff.meters)) != len(tariff.meters):
            raise Refusal("meters", "a meter is listed twice")
        for name in tariff.meters:
            if f"{tariff.site_id}/{name}" not in self.staged.meters:
                raise Refusal("meters", f"{name} is no registered meter of {tariff.site_id}")
        return self._log(tx, now_s, tariff)

    def _key(self, kid: bytes) -> DeviceKey:
        key = self.staged.keys.get(kid)
        if key is None:
            raise Refusal("kid", f"{kid.hex()} is not registered")
        return key

    def _check_key(self, key: DeviceKey) -> None:
        load_public_key(key.public_key)
        if not 1 <= len(key.serial) <= 32:
            raise Refusal("serial", "must be 1 to 32 bytes")
        if parse_device_key(key.body()) != key:
            raise Refusal("key", "is not in its canonical form")
        _check_validity(key.valid_from_s, key.valid_until_s)

    def _last_reading(self, tx: Write, kid: bytes) -> ReadingRow | None:
        """The reading of the key's chains with the latest time among those that can be a prev."""
        rows = [
            row for (owner, _), number in self.staged.chain_nos.items() if owner == kid for row in tx.chain_tail(number)
        ]
        in_chain = [row for row in rows if row.state in _IN_CHAIN]
        return max(in_chain, key=lambda row: (row.time_s, row.epoch, row.seq), default=None)

    def _stage(self) -> Registry:
        if self._staged is None:
            self._staged = self._committed.copy()
        return self._staged

    def _secret(self, tx: Write, meter_no: int | None) -> SecretRow:
        row = self.staged.secrets.get(meter_no)
        if row is None:
            # Of all time: history may be imported, and tenancies are split off when there are any.
            secret = secrets.token_bytes(_SECRET_BYTES)
            row = SecretRow(tx.add_secret(meter_no, 0, None, secret), meter_no, 0, None, secret)
            self._stage().secrets[meter_no] = row
        return row

    def _log(self, tx: Write, now_s: int, document: Document) -> Logged:
        body, schema, secret = document.body(), SCHEMAS[type(document)], self.log_secret(tx)
        entry_id = new_ids(now_s * 1_000, 1)[0]
        draft = statement_draft(entry_id, body, schema, secret, now_s)
        index = self._sequencer.append(tx, [draft])
        self._stage().put(document, entry_hash(draft.salts, body, draft.slots))
        return Logged(index, entry_id)


def _check_validity(from_s: int, until_s: int | None) -> None:
    if until_s is not None and until_s <= from_s:
        raise Refusal("valid_until", "must lie after valid_from")


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, LookupError):
        raise Refusal("zone", "is no IANA time zone that this machine knows, like Europe/Zurich") from None
