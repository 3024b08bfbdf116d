"""Live values as server-sent events. Not evidence: what is proved is in the log."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from time import monotonic
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from wattseal.api.access_token import NOBODY
from wattseal.api.answer import described
from wattseal.api.problem import Problem
from wattseal.api.query import Identifier
from wattseal.api.services import AnyCaller, Here, Services, source_address, unauthorized
from wattseal.core.units import kw_text, kwh_text, rfc3339
from wattseal.ingest.live import Listener, LiveInterval, LiveReading, LiveValue, Wanted, live_reading
from wattseal.log.port import BOUNDARY, DETAIL, Read

router = APIRouter(prefix="/api/v1/live", tags=["live"])

HEARTBEAT_S: Final = 15
SEND_S: Final = 30
"""A client that takes nothing for so long is let go."""
LONGEST_S: Final = 900
"""Then the stream ends and the client comes back by itself: a token that was revoked does not count for ever."""
MAX_LAST: Final = 256
"""Of so many meters a new listener gets the last reading at once; of more, values only as they come."""

_EXAMPLE: Final = (
    "event: reading\n"
    'data: {"meter":"plant-1/esp32-01/main","time":"2026-01-31T12:00:05Z","power_kw":3.2,"power_mw":3200000,'
    '"import_kwh":1234.5,"import_mwh":1234500000,"export_kwh":0,"export_mwh":0}\n\n'
)


class LiveQuery(BaseModel):
    """Of which meters."""

    site: Identifier | None = None
    device: Identifier | None = None
    meter: Identifier | None = None


@router.get(
    "",
    summary="Live values",
    response_class=Response,
    responses=described(None, "A stream of events that lasts up to 15 minutes; then connect again.", 401, 503)
    | {200: {"content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}}}},
)
async def get_live(request: Request, here: Here, caller: AnyCaller, query: Annotated[LiveQuery, Query()]) -> Response:
    """Server-sent events: `reading` with power and registers, `interval` for what was reported as JSON.

    First the last value of each meter, then each new one within a second of its being stored. Who reads slowly gets
    the newest value of each meter and not all of them. Every 15 s without a value there is a comment.
    """
    stranger = source_address(request) if caller is NOBODY else None
    if stranger is not None and here.visible_meters(caller) == frozenset():
        raise unauthorized("No meter here is public: live values need a token.")
    if here.ingest.live.is_full(stranger):
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "busy",
            "Too many listen already",
            next_step="Try again in 30 s.",
            headers={"Retry-After": "30"},
        )
    wanted = (query.site, query.device, query.meter)

    def is_wanted(path: str) -> bool:
        parts = path.split("/")
        return all(want in {None, part} for want, part in zip(wanted, parts, strict=True)) and here.may_read(
            caller, path
        )

    # From here on nothing is missed; what is read from the store below is older and gives way to it.
    listener = here.ingest.live.listen(is_wanted, stranger)
    try:
        last = await asyncio.to_thread(_last_values, here, is_wanted)
    except BaseException:
        here.ingest.live.leave(listener)
        raise
    return _Stream(here, listener, last)


class _Stream(Response):
    """An answer that goes on until the client leaves, the server stops or LONGEST_S has passed."""

    media_type = "text/event-stream"

    def __init__(self, here: Services, listener: Listener, last: Sequence[LiveValue]) -> None:
        super().__init__(media_type=self.media_type, headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._live = here.ingest.live
        self._listener = listener
        for value in last:
            listener.put(value)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - of every ASGI app
        """Send what comes."""
        leaving = asyncio.create_task(_until_gone(receive, self._listener))
        try:
            async with asyncio.timeout(SEND_S):
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            text, end = b"retry: 2000\n\n", monotonic() + LONGEST_S
            while not self._listener.is_closed and monotonic() < end:
                # An await that ends only when the client has taken in enough: meanwhile values are replaced, not kept.
                async with asyncio.timeout(SEND_S):
                    await send({"type": "http.response.body", "body": text, "more_body": True})
                values = await self._listener.take(HEARTBEAT_S)
                text = b"".join(map(_event, values)) or b": nothing new\n\n"
            async with asyncio.timeout(1):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            return  # the server closes the connection, because the answer is not finished
        finally:
            self._live.leave(self._listener)
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await leaving


async def _until_gone(receive: Receive, listener: Listener) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    listener.close()


def _event(value: LiveValue) -> bytes:
    site_id, device_id, meter_id = value.path.split("/")
    members: dict[str, Any] = {
        "meter": value.path,
        "site_id": site_id,
        "iot_device_id": device_id,
        "meter_id": meter_id,
    }
    if isinstance(value, LiveReading):
        name = "reading"
        members |= {"time": rfc3339(value.time_s), **_power("power_kw", value.power_mw)}
        members |= _energy("import", value.import_mwh) | _energy("export", value.export_mwh)
    else:
        name = "interval"
        members |= {"ts_start": rfc3339(value.start_s), "ts_end": rfc3339(value.time_s)}
        members |= _energy("energy", value.energy_mwh) | _energy("export", value.export_mwh)
        members |= _power("power_kw_avg", value.power_mw)
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(members))


def _power(name: str, power_mw: int) -> dict[str, Any]:
    return {name: orjson.Fragment(kw_text(power_mw)), "power_mw": power_mw}


def _energy(name: str, energy_mwh: int) -> dict[str, Any]:
    return {f"{name}_kwh": orjson.Fragment(kwh_text(energy_mwh)), f"{name}_mwh": energy_mwh}


def _last_values(here: Services, is_wanted: Wanted) -> list[LiveValue]:
    registry = here.ingest.registry
    paths = {meter_no: path for path, meter_no in registry.meter_nos.items() if is_wanted(path)}
    if len(paths) > MAX_LAST:
        return []
    with here.store.read() as read:
        return list(_stored(read, paths, here.now()))


def _stored(read: Read, paths: dict[int, str], now_s: int) -> Iterator[LiveValue]:
    """The last admitted reading of each meter that has one, else its last interval of the last days."""
    seen = set()
    for chain in read.chains():
        path = paths.get(chain.meter_no)
        if path is None:
            continue
        admitted = [row for row in read.chain_tail(chain.chain_no) if row.state in {BOUNDARY, DETAIL}]
        if admitted:
            seen.add(chain.meter_no)
            yield live_reading(path, admitted[-1].cose)
    for meter_no in paths.keys() - seen:
        rows = read.records_of_meter(meter_no, now_s - 2 * 86_400, now_s + 1)
        if rows:
            row = rows[-1]
            yield LiveInterval(
                paths[meter_no], row.end_s or 0, row.start_s or 0, row.energy_mwh or 0, row.export_mwh or 0
            )
