"""`wattseal simulate`: meters that do not exist send signed readings to a server, or into files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from wattseal.cli.options import Config, Server
from wattseal.core.units import identifier

if TYPE_CHECKING:
    from wattseal.cli.client import Client
    from wattseal.simulate.fleet import SimulatedMeter

READINGS: Final = "application/cbor-seq"
_AT_ONCE: Final = 5_000
_HOUR_S: Final = 3_600
_RATED_MW: Final = 20_000_000
_PEAK_MW: Final = 6_000_000


@dataclass(frozen=True, slots=True)
class _Plan:
    """How often the meters are read, and from when on; Unix seconds."""

    since_s: int
    now_s: int
    interval_s: int

    def past(self) -> Iterator[int]:
        """The instants of the history, and one now."""
        yield from range(self.since_s // self.interval_s * self.interval_s, self.now_s + 1, self.interval_s)


def simulate(
    *,
    meters: Annotated[int, typer.Option(help="How many meters, each with a device of its own.", min=1, max=10_000)] = 3,
    site: Annotated[str | None, typer.Option(help="Their site's id; by default a new one.", show_default=False)] = None,
    interval: Annotated[int, typer.Option(help="Seconds between two readings of a meter.", min=1, max=86_400)] = 60,
    history: Annotated[int, typer.Option(help="Hours of history to send first.", min=0, max=8_784)] = 1,
    live: Annotated[bool, typer.Option("--live", help="Go on by the clock until Ctrl-C.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write files instead of sending anything.", show_default=False),
    ] = None,
    server: Server = None,
    config: Config = None,
) -> None:
    """Register simulated meters and send their signed readings; all of it is registered as simulated.

    The token in WATTSEAL_TOKEN needs the scope `enrol` or `operator`. With `--out DIR` nothing is sent: DIR then holds
    `registry.json` (what to register: POST its `keys` to /api/v1/keys, its `meters` to /api/v1/meters) and one
    `*.cbor-seq` of readings per meter (POST to /api/v1/logs as `application/cbor-seq`).

    Example: `wattseal simulate --server http://127.0.0.1:8000 --meters 10 --history 24 --live`
    """
    from wattseal.cli.client import client

    now_s = int(time.time())
    plan = _Plan(now_s - history * _HOUR_S, now_s, interval)
    site_id = identifier(site or time.strftime("simulated-%Y%m%d-%H%M%S", time.gmtime(now_s)), "--site")
    fleet = _fleet(site_id, meters, plan)
    if out is not None:
        _write(fleet, plan, out)
        return
    with client(server, config) as api:
        _register(api, fleet, plan)
        _send_past(api, fleet, plan)
        print(f"{meters} simulated meters of the site {site_id} are registered and have sent their history.")
        if live:
            _send_live(api, fleet, plan)


def _fleet(site_id: str, meters: int, plan: _Plan) -> list[SimulatedMeter]:
    from wattseal.simulate.fleet import Place, SimulatedMeter
    from wattseal.simulate.shape import HOUSEHOLD, Load

    record_s = plan.interval_s if plan.interval_s >= 60 else 300
    return [
        SimulatedMeter(
            Place(site_id, f"device-{number}", "main", record_interval_s=record_s, rated_power_mw=_RATED_MW),
            Load(_PEAK_MW, HOUSEHOLD, number),
            f"{site_id}/{plan.since_s}/{number}",
            plan.since_s // plan.interval_s * plan.interval_s - 1,
            import_mwh=1_000_000 * number,
        )
        for number in range(1, meters + 1)
    ]


def _documents(fleet: list[SimulatedMeter], plan: _Plan) -> dict[str, list[dict[str, Any]]]:
    """What the registry gets: keys and meters, valid from before the first reading on."""
    from_s = plan.since_s - plan.interval_s
    computed = ("schema_version", "kid", "alg", "previous_kid", "previous_digest", "reason")
    keys = [json.loads(meter.device_key(from_s).body()) for meter in fleet]
    meters = [json.loads(meter.meter(from_s).body()) for meter in fleet]
    return {
        "keys": [{name: value for name, value in key.items() if name not in computed} for key in keys],
        "meters": meters,
    }


def _register(api: Client, fleet: list[SimulatedMeter], plan: _Plan) -> None:
    from wattseal.cli.table import progress

    documents = _documents(fleet, plan)
    with progress("registered") as bar:
        for done, (key, meter) in enumerate(zip(documents["keys"], documents["meters"], strict=True), 1):
            api.post("/api/v1/keys", key)
            api.post("/api/v1/meters", meter)
            bar(done, len(fleet))


def _send_past(api: Client, fleet: list[SimulatedMeter], plan: _Plan) -> None:
    from wattseal.cli.table import progress

    instants = list(plan.past())
    waiting: list[bytes] = []
    with progress("readings") as bar:
        for done, time_s in enumerate(instants, 1):
            waiting += [meter.read(time_s) for meter in fleet]
            if len(waiting) >= _AT_ONCE or done == len(instants):
                _post(api, waiting)
                waiting = []
                bar(done * len(fleet), len(instants) * len(fleet))


def _send_live(api: Client, fleet: list[SimulatedMeter], plan: _Plan) -> None:
    from wattseal.cli.failure import Failure

    next_s = (plan.now_s // plan.interval_s + 1) * plan.interval_s
    waiting: list[bytes] = []
    while True:
        time.sleep(max(next_s - time.time(), 0))
        waiting += [meter.read(next_s) for meter in fleet]
        next_s += plan.interval_s
        try:
            _post(api, waiting)
        except Failure as failure:
            # As a device does: what was not acknowledged is kept and sent again.
            print(f"{failure}; {len(waiting)} readings wait", flush=True)
            continue
        print(f"{time.strftime('%H:%M:%S')} sent {len(waiting)} readings", flush=True)
        waiting = []


def _post(api: Client, readings: list[bytes]) -> None:
    for start in range(0, len(readings), _AT_ONCE):
        api.post_bytes("/api/v1/logs", b"".join(readings[start : start + _AT_ONCE]), READINGS)


def _write(fleet: list[SimulatedMeter], plan: _Plan, folder: Path) -> None:
    from wattseal.cli.table import progress

    folder.mkdir(parents=True, exist_ok=True)
    registry = json.dumps(_documents(fleet, plan), indent=1)
    (folder / "registry.json").write_text(registry + "\n", encoding="utf-8")
    instants = list(plan.past())
    with progress("meters") as bar:
        for done, meter in enumerate(fleet, 1):
            name = f"{meter.place.iot_device_id}_{meter.place.meter_id}.cbor-seq"
            (folder / name).write_bytes(b"".join(meter.read(time_s) for time_s in instants))
            bar(done, len(fleet))
    print(f"Wrote registry.json and the readings of {len(fleet)} simulated meters to {folder}")
