"""`wattseal demo`: the whole path on this machine, with data that says that it is invented."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from wattseal.cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from wattseal.config import Settings
    from wattseal.demo.meter import DemoMeter
    from wattseal.demo.sites import DemoSite
    from wattseal.serve import OpenSite, Site

ORIGIN: Final = "demo.invalid/wattseal"
_FILE: Final = "demo.json"
_SAMPLE: Final = "factory_hall-1_press.wattseal.json"
_MQTT: Final = "127.0.0.1:1883"
_STEP_S: Final = 300
_DAY_S: Final = 86_400


def demo(
    *,
    folder: Annotated[Path, typer.Option("--dir", help="Where its data goes; used again if it is there.")] = Path(
        "demo-data"
    ),
    once: Annotated[
        bool, typer.Option("--once", help="Only make the data, DIR/trust.toml and DIR/bundles, and exit.")
    ] = False,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.")] = 8_000,
) -> None:
    """Make five sites with three days of history, and serve them with live readings.

    Factory, data centre, microgrid, depot of electric vans, robots: invented, with software keys and a simulated chain.
    Every proof of it says *simulated*.

    Examples: `wattseal demo`, `wattseal demo --once --dir demo`
    """
    from wattseal.config import FILE_NAME, load_settings

    folder = folder.absolute()
    if (folder / FILE_NAME).exists() and not (folder / _FILE).exists():
        raise Failure(
            f"{folder} holds a demonstration that was not finished, or a site of your own.",
            f"If it is only a demonstration: {_removal(folder)}",
        )
    if not once:
        _check_port(host, port)
    if not (folder / _FILE).exists():
        _make(folder)
    elif once:
        raise Failure(f"{folder} holds a demonstration already.", f"Choose another --dir, or: {_removal(folder)}")
    state = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    if once:
        _say_once(folder)
        return
    settings = load_settings(folder / FILE_NAME, host=host, port=port, mqtt_embedded=_MQTT)
    _serve(settings, state)


def _guard(folder: Path) -> Path:
    return folder.with_name(folder.name + "-guard") / "guard"


def _removal(folder: Path) -> str:
    # The guard lies beside the folder, and would keep another log from being made there.
    return f"rm -r {folder} {_guard(folder).parent}"


def _fleet(sites: tuple[DemoSite, ...], since_s: int) -> list[DemoMeter]:
    return [meter for site in sites for meter in site.fleet(since_s, "wattseal demonstration")]


def _make(folder: Path) -> None:
    """Make the site, its history, the trust file and the bundles. `demo.json` comes last: then all of it is there."""
    from wattseal.cli.export import trust_of
    from wattseal.cli.table import progress
    from wattseal.config import FILE_NAME, load_settings, new_settings
    from wattseal.demo.history import DemoClock, DemoHistory, first_instant
    from wattseal.demo.sites import demo_sites
    from wattseal.serve import make_site, open_site

    now_s = int(time.time())
    since_s, sites = first_instant(now_s), demo_sites()
    fleet, clock = _fleet(sites, since_s), DemoClock(since_s)
    given: dict[str, Any] = {"demo": True, "public_records": True, "anchor_interval_s": 300, "mining_interval_s": 30}
    token = make_site(new_settings(data_dir=folder, origin=ORIGIN, guard=_guard(folder), **given))
    print(f"Making five simulated sites and three days of history of {len(fleet)} meters …", file=sys.stderr)
    # Batches close when the history says so, and not by themselves.
    with open_site(load_settings(folder / FILE_NAME, batch_max_s=_DAY_S), clock_ns=clock) as opened:
        with progress("hours of history") as bar:
            DemoHistory(opened, clock, sites, fleet).build(now_s // _STEP_S * _STEP_S, bar)
        with opened.site.store.read() as read:
            (folder / "trust.toml").write_text(trust_of(read, opened.site.settings), encoding="utf-8")
        with progress("bundles") as bar:
            _write_bundles(opened, folder / "bundles", sites, now_s, bar)
    state = folder / _FILE
    state.touch(mode=0o600)
    state.write_text(json.dumps({"since_s": since_s, "token": token}) + "\n", encoding="utf-8")


def _write_bundles(
    opened: OpenSite, folder: Path, sites: tuple[DemoSite, ...], now_s: int, tell: Callable[[int, int | None], None]
) -> None:
    """Each meter's yesterday, as its zone has it."""
    from datetime import datetime, timedelta
    from datetime import time as midnight
    from zoneinfo import ZoneInfo

    from wattseal.log.bundle import build_bundle

    folder.mkdir()
    rows = [(site, row) for site in sites for row in site.rows]
    with opened.site.store.read() as read:
        for done, (site, row) in enumerate(rows):
            tell(done, len(rows))
            zone = ZoneInfo(site.zone)
            today = datetime.combine(datetime.fromtimestamp(now_s, zone).date(), midnight(), zone)
            days = [int((today - timedelta(days=back)).timestamp()) for back in (1, 0)]
            path = f"{site.site_id}/{row.device_id}/{row.meter_id}"
            data = build_bundle(read, path=path, from_s=days[0], to_s=days[1])
            (folder / f"{path.replace('/', '_')}.wattseal.json").write_bytes(data)


def _say_once(folder: Path) -> None:
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    print(f"""\
Everything in {shown} is simulated.
  {shown}/trust.toml      whom to trust when checking
  {shown}/bundles/        yesterday of each meter, one proof bundle each
Next: wattseal verify {shown}/bundles/{_SAMPLE} --trust {shown}/trust.toml --allow-simulated""")


def _serve(settings: Settings, state: dict[str, Any]) -> None:
    from wattseal.demo.live import run
    from wattseal.demo.sites import demo_sites
    from wattseal.server import serve

    sites, tasks = demo_sites(), []

    def started(site: Site, url: str) -> None:
        tasks.append(asyncio.get_running_loop().create_task(run(site, _fleet(sites, state["since_s"]))))
        broker = site.services.mqtt and site.services.mqtt.broker
        print(_welcome(settings, sites, url, broker.port if broker else 0, state["token"]), flush=True)

    serve(settings, started)


def _check_port(host: str, port: int) -> None:
    """Before the history is made: who must choose another port should not wait for that."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise Failure(
            f"Port {port} is in use.", f"Try: make demo PORT={port + 1}, or wattseal demo --port {port + 1}"
        ) from None


def _in_place() -> str:
    """How another terminal gets to this folder and command, where the command is not on everybody's path."""
    if sys.prefix == sys.base_prefix:
        return ""
    return f", after `cd {Path.cwd()} && source {os.path.relpath(sys.prefix)}/bin/activate`"


def _welcome(settings: Settings, sites: tuple[DemoSite, ...], url: str, mqtt_port: int, token: str) -> str:
    meters = "\n".join(f"  {site.site_id:<12} {site.name}: {len(site.rows)} meters, {site.zone}" for site in sites)
    config = os.path.relpath(settings.folder / "wattseal.toml")
    trust, bundles = (os.path.relpath(settings.folder / name) for name in ("trust.toml", "bundles"))
    return f"""
Wattseal's demonstration runs on {url}   (everything in it is simulated)
{meters}

  look            {url}/
  the API         {url}/docs
  newest records  {url}/api/v1/logs?limit=5
  the log itself  {url}/log/checkpoint
  the meters      publish to energy/SITE/DEVICE/METER on mqtt://127.0.0.1:{mqtt_port}

An operator's token of this demonstration:
  export WATTSEAL_SERVER={url} WATTSEAL_TOKEN={token}

Try in another terminal{_in_place()}:
  wattseal verify {bundles}/{_SAMPLE} --trust {trust} --allow-simulated
  wattseal flush && wattseal anchor simulate        (needs the export above)
  wattseal fsck --config {config}
  wattseal export --config {config} --log {os.path.relpath(settings.folder / "public")} --bodies

Stop it with Ctrl-C; it goes on where it stopped."""
