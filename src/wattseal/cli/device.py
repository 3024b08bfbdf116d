"""`wattseal device`: the keys of devices, and the meters that they sign."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer

from wattseal.cli import discontinuity
from wattseal.cli.client import client
from wattseal.cli.options import Config, Json, Server, instant, parts
from wattseal.core.refusal import Refusal
from wattseal.core.units import rfc3339

app = typer.Typer(no_args_is_help=True, help="Devices' keys, their meters, and meter swaps.")

app.command("swap")(discontinuity.swap)
app.command("rollover")(discontinuity.rollover)
app.command("reset")(discontinuity.reset)

DevicePath = Annotated[str, typer.Argument(metavar="SITE/DEVICE", show_default=False)]
PublicKey = Annotated[
    str, typer.Option(help="X and Y of the device's P-256 point: 128 hex digits.", metavar="HEX", show_default=False)
]
Serial = Annotated[str, typer.Option(help="The secure element's serial number.", metavar="HEX", show_default=False)]
From = Annotated[str | None, typer.Option("--from", help="Valid from this time on; now.", show_default=False)]
Provenance = Annotated[str, typer.Option(help="chip-certificate, provisioned, or registered: where the key is from.")]
Simulated = Annotated[bool, typer.Option("--simulated", help="A rehearsal: every proof will say so.")]
Kid = Annotated[str, typer.Argument(help="The key's id: 32 hex digits, as `device list` shows.", show_default=False)]


@app.command("register")
def register(  # noqa: PLR0913 - a command's options
    device: DevicePath,
    *,
    public_key: PublicKey,
    serial: Serial,
    from_: From = None,
    provenance: Provenance = "registered",
    simulated: Simulated = False,
    server: Server = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Enter a device's public key, so that its readings count. Then register its meters.

    Example: `wattseal device register plant-1/esp32-01 --public-key 6b17… --serial 0123a4b5c6d7e8f9ee`
    """
    with client(server, config) as api:
        made = api.post("/api/v1/keys", _key(device, public_key, serial, from_, provenance, simulated=simulated))
    kid = made["body"]["kid"]
    _say(made, as_json, f"Key {kid} of {device} is registered.\nNext: wattseal device meter {device}/METER --kid {kid}")


@app.command("rotate")
def rotate(  # noqa: PLR0913 - a command's options
    kid: Kid,
    *,
    device: Annotated[str, typer.Option(metavar="SITE/DEVICE", help="Whose key it is.", show_default=False)],
    public_key: PublicKey,
    serial: Serial,
    from_: From = None,
    provenance: Provenance = "registered",
    simulated: Simulated = False,
    server: Server = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Let a new key follow the key KID on all of its meters. The old one's validity ends where the new one's begins.

    Example: `wattseal device rotate 5f0c… --device plant-1/esp32-01 --public-key 9a3e… --serial 0123…ee`
    """
    document = _key(device, public_key, serial, from_, provenance, simulated=simulated)
    with client(server, config) as api:
        made = api.post(f"/api/v1/keys/{kid}/rotate", document)
    _say(made, as_json, f"Key {made['body']['kid']} follows {kid} from {made['body']['valid_from']} on.")


@app.command("revoke")
def revoke(
    kid: Kid,
    *,
    at: Annotated[str | None, typer.Option(help="From this time on; now.", show_default=False)] = None,
    server: Server = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """End a key's validity: readings of that time or later are quarantined. The key stays in the registry, ended.

    Example: `wattseal device revoke 5f0c3a9e1b7d4c2088e6f1a2b3c4d5e6`
    """
    with client(server, config) as api:
        document = None if at is None else {"valid_until": rfc3339(instant(at, "--at"))}
        made = api.post(f"/api/v1/keys/{kid}/revoke", document)
    _say(made, as_json, f"Key {kid} counts until {made['body']['valid_until']}.")


@app.command("meter")
def meter(  # noqa: PLR0913 - a command's options
    path: Annotated[str, typer.Argument(metavar="SITE/DEVICE/METER", show_default=False)],
    *,
    kid: Annotated[
        list[str] | None,
        typer.Option(help="A key that may sign it; may be repeated. By default none.", show_default=False),
    ] = None,
    role: Annotated[str, typer.Option(help="consumption, production, storage, main or sub.")] = "consumption",
    rated_kw: Annotated[
        str | None, typer.Option(help="Most that it can measure: more than that is quarantined.", show_default=False)
    ] = None,
    interval: Annotated[int, typer.Option(help="Seconds of a record.")] = 300,
    zone: Annotated[str, typer.Option(help="The site's IANA time zone.")] = "UTC",
    disclosed: Annotated[bool, typer.Option("--disclosed", help="Everybody may read its records.")] = False,
    from_: From = None,
    server: Server = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Register a meter, or give a registered one new values: all of them each time.

    Example: `wattseal device meter plant-1/esp32-01/main --kid 5f0c… --role main --zone Europe/Zurich --rated-kw 17`
    """
    site_id, device_id, meter_id = parts(path, ("SITE", "DEVICE", "METER"))
    document: dict[str, Any] = {
        "site_id": site_id,
        "iot_device_id": device_id,
        "meter_id": meter_id,
        "role": role,
        "kid": list(kid or ()),
        "rated_power_kw": None if rated_kw is None else _decimal(rated_kw, "--rated-kw"),
        "record_interval_s": interval,
        "zone": zone,
        "disclosed": disclosed,
    }
    if from_ is not None:
        document["valid_from"] = rfc3339(instant(from_, "--from", zone))
    with client(server, config) as api:
        made = api.post("/api/v1/meters", document)
    _say(made, as_json, f"Meter {path} is registered. Its device may send readings: POST /api/v1/logs")


@app.command("list")
def list_keys(*, config: Config = None, as_json: Json = False) -> None:
    """List devices' keys, those that ended as well. It only reads, and may run beside the server."""
    from wattseal.cli.table import show_table

    keys = sorted(_registry(config)["keys"], key=lambda key: (key["site_id"], key["iot_device_id"], key["valid_from"]))
    if as_json:
        print(json.dumps(keys, ensure_ascii=False))
        return
    rows = [
        (
            f"{key['site_id']}/{key['iot_device_id']}",
            key["kid"],
            key["provenance"] + (" (simulated)" if key["simulated"] else ""),
            key["valid_from"],
            key["valid_until"],
            key["reason"],
        )
        for key in keys
    ]
    heads = ("device", "kid", "where from", "valid from", "until", "reason")
    show_table(heads, rows, "No device is registered. Next: wattseal device register")


@app.command("meters")
def list_meters(*, config: Config = None, as_json: Json = False) -> None:
    """List meters. It only reads, and may run beside the server."""
    from wattseal.cli.table import show_table

    meters = sorted(_registry(config)["meters"], key=_path)
    if as_json:
        print(json.dumps(meters, ensure_ascii=False))
        return
    rows = [
        (
            _path(meter),
            meter["role"],
            f"{meter['record_interval_s']} s",
            meter["zone"],
            meter["rated_power_kw"],
            "public" if meter["disclosed"] else "",
            len(meter["kid"]),
        )
        for meter in meters
    ]
    heads = ("meter", "role", "record", "zone", ">rated kW", "records", ">keys")
    show_table(heads, rows, "No meter is registered. Next: wattseal device meter, or wattseal import")


def _path(meter: Mapping[str, Any]) -> str:
    return f"{meter['site_id']}/{meter['iot_device_id']}/{meter['meter_id']}"


def _registry(config: Path | None) -> dict[str, list[dict[str, Any]]]:
    from wattseal.config import load_settings
    from wattseal.ingest.registry import Registry
    from wattseal.serve import read_store

    with read_store(load_settings(config)) as store, store.read() as read:
        registry = Registry.load(read)
    return {
        "keys": [json.loads(key.body()) for key in registry.keys.values()],
        "meters": [json.loads(meter.body()) for meter in registry.meters.values()],
    }


def _key(
    device: str, public_key: str, serial: str, from_: str | None, provenance: str, *, simulated: bool
) -> dict[str, Any]:
    site_id, device_id = parts(device, ("SITE", "DEVICE"))
    document: dict[str, Any] = {
        "public_key": public_key.lower(),
        "site_id": site_id,
        "iot_device_id": device_id,
        "serial": serial.lower(),
        "provenance": provenance,
        "simulated": simulated,
    }
    if from_ is not None:
        document["valid_from"] = rfc3339(instant(from_, "--from"))
    return document


def _decimal(text: str, option: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise Refusal(option, f"{text!r} is no number") from None


def _say(made: Mapping[str, Any], as_json: bool, text: str) -> None:  # noqa: FBT001 - the option of every command here
    print(json.dumps(made, ensure_ascii=False) if as_json else text)
