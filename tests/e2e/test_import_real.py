"""Two months of a real household, minute by minute, and a campus meter with holes: imported, exported, verified."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from wattseal.cli.main import main
from wattseal.core.units import parse_decimal

MAPPING = """\
version = 1
zone = "Europe/Paris"
[time]
start = "date_time"
interval_s = 60
"""
METERS = {
    "main": ("Global_active_power", "kW", "main"),
    "kitchen": ("Sub_metering_1", "Wh", "sub"),
    "laundry": ("Sub_metering_2", "Wh", "sub"),
    "heating": ("Sub_metering_3", "Wh", "sub"),
}
UNITS = {"kW": Fraction(1_000_000, 60), "Wh": Fraction(1_000)}
FIRST, DAYS = date(2007, 1, 1), 59


class House:
    """A site with the household's history."""

    def __init__(self, folder: Path, file: Path, record_s: int) -> None:
        self.folder = folder
        self.file = file
        self.run("init", "site", "--origin", "example.org/house", "--guard", folder / "guard" / "guard")
        self.here = ("--config", folder / "site" / "wattseal.toml")
        lines = [MAPPING]
        for meter_id, (column, unit, role) in METERS.items():
            lines.append(
                f'[[meter]]\nmeter_id = "{meter_id}"\nimport = "{column}"\nunit = "{unit}"\nrole = "{role}"\n'
                f"record_interval_s = {record_s}\n"
            )
        (folder / "house.toml").write_text("".join(lines), encoding="utf-8")
        self.first = self.import_again()
        self.run("flush", *self.here)
        self.run("export", "--trust", "trust.toml", *self.here)

    def run(self, *arguments: object, code: int = 0) -> str:
        """Run a command in this process and the site's folder; returns what it printed."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            found = main([str(argument) for argument in arguments])
        assert found == code, out.getvalue() + err.getvalue()
        return out.getvalue()

    def import_again(self) -> dict[str, Any]:
        where = ("--site", "home", "--device", "fusebox", "--map", "house.toml")
        said: dict[str, Any] = json.loads(self.run("import", "csv", self.file, *where, *self.here, "--json"))
        return said


def fixture(fixtures_dir: Path) -> Path:
    return fixtures_dir / "usage" / "uci_household_submeters" / "household_2007-01_to_2007-02_1min.csv.gz"


@pytest.fixture(scope="module")
def house(fixtures_dir: Path, tmp_path_factory: pytest.TempPathFactory, *, long: bool) -> House:
    return House(tmp_path_factory.mktemp("house"), fixture(fixtures_dir), 60 if long else 300)


@pytest.fixture(scope="module")
def exact(house: House) -> dict[str, dict[str, Fraction]]:
    """By meter: each local day's energy in mWh, computed apart from the product. No clock was changed then."""
    sums: dict[str, dict[str, Fraction]] = {meter_id: {} for meter_id in METERS}
    with gzip.open(house.file, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            day = row["date_time"][:10]
            for meter_id, (column, _, _) in METERS.items():
                # Three decimals at most, so that adding up stays cheap.
                thousandths = Fraction(row[column]) * 1_000
                sums[meter_id][day] = sums[meter_id].get(day, Fraction(0)) + int(thousandths)
                assert thousandths.denominator == 1
    factor = {meter_id: UNITS[unit] / 1_000 for meter_id, (_, unit, _) in METERS.items()}
    return {
        meter_id: {day: total * factor[meter_id] for day, total in found.items()} for meter_id, found in sums.items()
    }


def test_everything_is_imported_once(house: House) -> None:
    assert (house.first["rows"], house.first["refusals"], house.first["found"]) == (84_960, 0, 0)
    assert [meter["holes"] for meter in house.first["meters"]] == [[], [], [], []]
    assert house.first["written"] == sum(meter["records"] for meter in house.first["meters"])
    again = house.import_again()
    assert (again["written"], again["found"]) == (0, house.first["written"])


def test_the_sums_are_exact(house: House, exact: dict[str, dict[str, Fraction]]) -> None:
    for meter in house.first["meters"]:
        assert parse_decimal(meter["energy_kwh"], 6, "energy_kwh") == sum(exact[meter["meter_id"]].values()) // 1


@pytest.mark.parametrize("meter_id", METERS)
def test_any_day_is_exported_and_verifies(
    house: House, exact: dict[str, dict[str, Fraction]], meter_id: str, *, long: bool
) -> None:
    place = list(METERS).index(meter_id)
    for number in range(DAYS) if long else (0, 17 + 7 * place, DAYS - 1):
        day = FIRST + timedelta(days=number)
        out = f"{meter_id}_{day}.json"
        span = ("--from", day, "--to", day + timedelta(days=1))
        house.run("export", "--bundle", f"home/fusebox/{meter_id}", *span, "--out", out, *house.here)
        required = ("--require", "authentic,included,complete")
        said = json.loads(house.run("verify", out, "--trust", "trust.toml", *required, "--json"))
        assert "operator vouches" in said["verdicts"]["authentic"]["reason"]
        energy = said["verdicts"]["complete"]["facts"][0].split(" ")[0]
        # One floor at each end of the day.
        assert abs(parse_decimal(energy, 6, "energy") - exact[meter_id][str(day)]) < 1


def test_the_log_holds(house: House) -> None:
    assert json.loads(house.run("fsck", *house.here, "--json"))["ok"]


def test_a_changed_file_is_another_file_and_covers_the_same_time(house: House) -> None:
    with gzip.open(house.file, "rt", encoding="utf-8") as file:
        text = file.read(20_000)
    (house.folder / "changed.csv").write_text(text.rpartition("\n")[0] + "\n", encoding="utf-8")
    where = ("--site", "home", "--device", "fusebox", "--map", "house.toml")
    house.run("import", "csv", "changed.csv", *where, *house.here, code=1)
    assert house.import_again()["written"] == 0


@pytest.mark.parametrize("name", ["readings_ri_15_days_75.csv", "readings_ri_15_days_75_holes.csv"])
def test_open_energy_dashboard(house: House, fixtures_dir: Path, name: str) -> None:
    file = fixtures_dir / "usage" / "oed" / name
    meter = Path(name).stem
    where = ("--site", "campus", "--device", "oed", "--meter", meter, "--zone", "America/Chicago")
    said = json.loads(house.run("import", "oed", file, *where, *house.here, "--json"))
    with file.open(encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    assert (said["rows"], said["refusals"]) == (len(rows), 0)
    exact = sum(Fraction(row["reading"]) for row in rows) * 1_000_000
    assert parse_decimal(said["meters"][0]["energy_kwh"], 6, "energy_kwh") == exact // 1
    assert len(said["meters"][0]["holes"]) == (4 if "holes" in name else 0)
    house.run("flush", *house.here)
    # The first hole begins on 20 August: a day before it is complete, that day is not.
    for day, code in ((19, 0), (20, 1 if "holes" in name else 0)):
        span = ("--from", f"2022-08-{day}", "--to", f"2022-08-{day + 1}")
        house.run("export", "--bundle", f"campus/oed/{meter}", *span, "--out", "day.json", *house.here)
        required = ("--require", "authentic,included,complete")
        house.run("verify", "day.json", "--trust", "trust.toml", *required, code=code)
