"""A site made and run by commands alone: init, device, tariff, token, flush, anchor."""

from __future__ import annotations

import re
import stat
import tomllib
from pathlib import Path

from tests.cli.conftest import Command, Site
from wattseal.core.note_key import Verifier
from wattseal.simulate.element import SimulatedElement

ELEMENT, NEXT = SimulatedElement(b"first"), SimulatedElement(b"second")
DEVICE = ("plant-1/esp32-01", "--public-key", ELEMENT.public_key.hex(), "--serial", ELEMENT.serial.hex())


def test_init(site: Site, wattseal: Command) -> None:
    for name in ("log.key", "operator.key", "gateway.key", "wattseal.db"):
        assert stat.S_IMODE((site.folder / name).stat().st_mode) == 0o600, name
    assert Verifier.from_vkey(site.vkey).name == "example.org/energy"
    assert site.guard.is_file()
    assert not site.guard.is_relative_to(site.folder)
    settings = tomllib.loads((site.folder / "wattseal.toml").read_text(encoding="utf-8"))
    assert settings == {"origin": "example.org/energy", "guard": str(site.guard)}
    assert site.token not in (site.folder / "wattseal.toml").read_text(encoding="utf-8")
    assert site.token.encode() not in (site.folder / "wattseal.db").read_bytes()
    again = wattseal("init", site.folder, "--origin", "example.org/energy")
    assert again.code == 1
    assert "exists" in again.err


def test_init_takes_nothing_from_a_settings_file_that_lies_here(wattseal: Command, tmp_path: Path) -> None:
    (tmp_path / "wattseal.toml").write_text('origin = "example.org/other"\nport = 9\ndemo = true\n', encoding="utf-8")
    assert wattseal("init", "mine", "--origin", "example.org/mine").code == 0
    settings = tomllib.loads((tmp_path / "mine" / "wattseal.toml").read_text(encoding="utf-8"))
    assert settings.keys() == {"origin", "guard"}


def test_init_tells_people_the_token_once_and_the_next_step(wattseal: Command) -> None:
    said = wattseal("init", "mine", "--origin", "example.org/energy", "--guard", "apart/guard")
    assert said.code == 0
    assert said.out.count("wattseal_") == 1
    assert "wattseal serve --config" in said.out


def test_init_refuses_a_guard_in_the_data_directory(wattseal: Command) -> None:
    said = wattseal("init", "mine", "--origin", "example.org/energy", "--guard", "mine/guard")
    assert said.code == 1
    assert "guard" in said.err


def test_devices_and_meters(site: Site, wattseal: Command) -> None:
    here = ("--config", site.config)
    made = wattseal("device", "register", *DEVICE, "--simulated", *here, "--json")
    assert made.code == 0, made.err
    kid = made.json["body"]["kid"]
    assert kid == ELEMENT.kid.hex()
    again = wattseal("device", "register", *DEVICE, *here)
    assert again.code == 1
    assert "registered already" in again.err
    zone = ("--zone", "Europe/Zurich", "--rated-kw", "17.5", "--role", "main")
    meter = wattseal("device", "meter", "plant-1/esp32-01/main", "--kid", kid, *zone, *here)
    assert (meter.code, meter.err) == (0, "")
    (shown,) = wattseal("device", "meters", *here, "--json").json
    assert (shown["zone"], shown["rated_power_kw"], shown["kid"]) == ("Europe/Zurich", 17.5, [kid])
    assert "plant-1/esp32-01/main" in wattseal("device", "meters", *here).out

    new = ("--public-key", NEXT.public_key.hex(), "--serial", NEXT.serial.hex())
    rotated = wattseal("device", "rotate", kid, "--device", "plant-1/esp32-01", *new, "--from", "2040-01-01", *here)
    assert rotated.code == 0, rotated.err
    assert wattseal("device", "revoke", NEXT.kid.hex(), "--at", "2041-01-01", *here).code == 0
    keys = {key["kid"]: key for key in wattseal("device", "list", *here, "--json").json}
    assert (keys[kid]["reason"], keys[kid]["valid_until"]) == ("rotated", "2040-01-01T00:00:00Z")
    assert (keys[NEXT.kid.hex()]["reason"], keys[NEXT.kid.hex()]["previous_kid"]) == ("revoked", kid)
    assert kid in wattseal("device", "list", *here).out


def test_tariffs(site: Site, wattseal: Command) -> None:
    here = ("--config", site.config)
    added = wattseal("tariff", "add", "day", "--site", "plant-1", "--price", "118.25", *here)
    assert (added.code, added.err) == (0, "")
    assert wattseal("tariff", "add", "day", "--site", "plant-1", "--price", "99", *here).code == 1
    assert wattseal("tariff", "add", "day", "--site", "plant-1", "--price", "1.2345", "--version", "2", *here).code == 1
    (shown,) = wattseal("tariff", "list", *here, "--json").json
    assert (shown["tariff_id"], shown["price_sats_per_kwh"]) == ("day", "118.25")
    assert wattseal("tariff", "list", "--site", "elsewhere", *here, "--json").json == []


def test_tokens(site: Site, wattseal: Command) -> None:
    here = ("--config", site.config)
    made = wattseal("token", "create", "flat 3", "--scope", "tenant", "--subject", "plant-1", *here, "--json").json
    assert made["token"].startswith("wattseal_")
    labels = {token["label"] for token in wattseal("token", "list", *here, "--json").json}
    assert labels == {"first operator", "flat 3"}
    assert wattseal("token", "create", "nobody", "--scope", "king", *here).code == 1
    assert wattseal("token", "revoke", made["id"], *here).code == 0
    (row,) = (token for token in wattseal("token", "list", *here, "--json").json if token["id"] == made["id"])
    assert row["revoked_at"]
    assert wattseal("token", "revoke", "0" * 16, *here).code == 1


def test_flush_and_anchor(site: Site, wattseal: Command) -> None:
    here = ("--config", site.config)
    first = wattseal("flush", *here, "--json").json
    assert wattseal("flush", *here, "--json").json["id"] == first["id"]
    assert "nothing is anchored" in wattseal("anchor", "status", *here).out.lower()
    assert wattseal("anchor", "now", *here, "--json").json["state"] == "broadcast"
    final = wattseal("anchor", "simulate", *here, "--json").json
    assert (final["state"], final["simulated"]) == ("final", True)
    (status,) = wattseal("anchor", "status", *here, "--json").json
    assert (status["batch"], status["state"]) == (first["id"], "final")


def test_a_settings_file_that_is_not_there(wattseal: Command) -> None:
    missing = wattseal("flush", "--config", "nothing.toml")
    assert missing.code == 1
    assert "there is no file" in missing.err


def test_without_a_site(wattseal: Command) -> None:
    for command in (("flush",), ("fsck",), ("device", "list"), ("export", "--trust", "x")):
        said = wattseal(*command)
        assert said.code == 1, command
        assert re.search("there is no (store|key) at", said.err), said.err
