"""Where each chain stands, in memory: read from the store when first needed, and only ever what is durable there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from wattseal.ingest.arrival import stored_arrival
from wattseal.ingest.chain import NO_CHAIN, Chain, Held
from wattseal.ingest.grid import Open, Shift, interrupt, shifted
from wattseal.log.port import BOUNDARY, DETAIL, HELD, SET_ASIDE_IN_CHAIN, Read, ReadingRow, Write

_HELD_KEY: Final = "ingest.held"
"""Names the chains with held readings: after a restart their time runs on, although nothing asks for them."""
_NUMBER_BYTES: Final = 8


class Standing(NamedTuple):
    """A chain's place in the gate and on the grid."""

    chain: Chain
    current: Open | None


def standing_of(rows: Sequence[ReadingRow], shifts: Mapping[bytes, Shift]) -> Standing:
    """Rebuild a standing from the last boundary of a chain and all that follows it, in (epoch, seq) order.

    `shifts` are the declared discontinuities, by the digest of the last reading before each.
    """
    chain, current = NO_CHAIN, None
    held: list[Held] = []
    for row in rows:
        if row.state == BOUNDARY:
            current = Open(stored_arrival(row.cose), gap=False)
        elif row.state == SET_ASIDE_IN_CHAIN or (row.state == DETAIL and row.bridged):
            current = interrupt(current)
        if row.state in (BOUNDARY, DETAIL):
            chain = chain._replace(time_s=row.time_s, import_mwh=row.import_mwh, export_mwh=row.export_mwh)
        if row.state in (BOUNDARY, DETAIL, SET_ASIDE_IN_CHAIN):
            chain = chain._replace(
                epoch=row.epoch,
                seq=row.seq,
                digest=row.digest,
                cursor_time_s=row.time_s,
                cursor_import_mwh=row.import_mwh,
                cursor_export_mwh=row.export_mwh,
            )
            shift = shifts.get(row.digest)
            if shift is not None and row.state != SET_ASIDE_IN_CHAIN:
                chain, current = beyond(chain, shift), shifted(current, shift)
        elif row.state == HELD:
            held.append(Held(stored_arrival(row.cose), row.received_s))
        chain = chain._replace(known_epoch=row.epoch, known_seq=row.seq)
    return Standing(chain._replace(held=tuple(held)), current)


def beyond(chain: Chain, shift: Shift) -> Chain:
    """A chain after a declared discontinuity: where it would stand had its register always counted from there."""
    return chain._replace(
        import_mwh=chain.import_mwh - shift.import_mwh,
        export_mwh=chain.export_mwh - shift.export_mwh,
        cursor_import_mwh=chain.cursor_import_mwh - shift.import_mwh,
        cursor_export_mwh=chain.cursor_export_mwh - shift.export_mwh,
    )


class Standings:
    """The standings of all chains, with what the running transaction changes in a layer of its own."""

    def __init__(self, read: Read, shifts: Mapping[bytes, Shift]) -> None:
        self._shifts = shifts
        self._durable: dict[int, Standing] = {}
        self._touched: dict[int, Standing] = {}
        numbers = read.meta(_HELD_KEY) or b""
        self._waiting = {
            int.from_bytes(numbers[at : at + _NUMBER_BYTES], "big") for at in range(0, len(numbers), _NUMBER_BYTES)
        }
        self._was_waiting = set(self._waiting)

    def get(self, read: Read, chain_no: int) -> Standing:
        """A chain's standing, with what this transaction changed."""
        found = self._touched.get(chain_no) or self._durable.get(chain_no)
        if found is None:
            found = self._durable[chain_no] = standing_of(read.chain_tail(chain_no), self._shifts)
        return found

    def set(self, chain_no: int, standing: Standing) -> None:
        """Change a chain's standing in this transaction."""
        self._touched[chain_no] = standing
        if standing.chain.held:
            self._waiting.add(chain_no)
        elif self._waiting:
            self._waiting.discard(chain_no)

    @property
    def waiting(self) -> Iterable[int]:
        """The chains that hold readings back."""
        return sorted(self._waiting)

    def save(self, tx: Write) -> None:
        """Write down which chains hold readings, if that changed in this transaction."""
        if self._waiting != self._was_waiting:
            numbers = b"".join(number.to_bytes(_NUMBER_BYTES, "big") for number in sorted(self._waiting))
            tx.put_meta(_HELD_KEY, numbers)

    def committed(self) -> None:
        """The transaction is durable."""
        self._durable.update(self._touched)
        self._touched = {}
        self._was_waiting = set(self._waiting)

    def rolled_back(self) -> None:
        """The transaction left nothing; what it touched is read from the store again."""
        for chain_no in self._touched:
            self._durable.pop(chain_no, None)
        self._touched = {}
        self._waiting = set(self._was_waiting)
