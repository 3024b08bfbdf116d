"""`wattseal import`: odd files, small ones; what is refused, told, and never filled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command, Said, Site
from wattseal.core.refusal import Refusal
from wattseal.ingest import csv_import
from wattseal.ingest.csv_entries import HistoryEntries
from wattseal.ingest.csv_history import HistoryRecord
from wattseal.log.port import Write

MAPPING = """\
version = 1
zone = "Europe/Paris"
missing = ["", "?"]
[time]
start = "when"
interval_s = 60
[[meter]]
meter_id = "main"
import = "kw"
unit = "kW"
record_interval_s = 300
[[meter]]
meter_id = "register"
import = "total"
unit = "register-kWh"
record_interval_s = 300
"""


class House:
    """A site and a folder for files."""

    def __init__(self, site: Site, wattseal: Command, folder: Path) -> None:
        self.wattseal, self.folder = wattseal, folder
        self.here = ("--config", site.config)
        (folder / "map.toml").write_text(MAPPING, encoding="utf-8")

    def rows(self, start: str, count: int, *, step_s: int = 60) -> list[str]:
        begin = datetime.fromisoformat(start).replace(tzinfo=UTC)
        return [
            f"{(begin + timedelta(seconds=step_s * place)).strftime('%Y-%m-%d %H:%M:%S')},1.2,{100 + place / 50:.2f}"
            for place in range(count)
        ]

    def run(self, rows: Sequence[str], *more: object) -> Said:
        (self.folder / "rows.csv").write_text("when,kw,total\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8")
        where = ("--site", "home", "--device", "box", "--map", "map.toml")
        return self.wattseal("import", "csv", "rows.csv", *where, *self.here, *more)

    def said(self, rows: Sequence[str], *more: object) -> dict[str, Any]:
        done = self.run(rows, *more, "--json")
        assert done.code == 0, done.err
        answer: dict[str, Any] = done.json
        return answer

    def holds(self) -> bool:
        return self.wattseal("fsck", *self.here).code == 0


@pytest.fixture
def house(site: Site, wattseal: Command, tmp_path: Path) -> House:
    return House(site, wattseal, tmp_path)


def test_holes_are_told_and_registers_bridge_them(house: House) -> None:
    rows = house.rows("2020-01-01 00:00:00", 60)
    said = house.said(rows[:20] + rows[40:])
    main, register = said["meters"]
    assert main["holes"] == [["2019-12-31T23:20:00Z", "2019-12-31T23:40:00Z"]]
    assert (main["energy_kwh"], main["bridged"]) == ("0.8", 0)
    # From the first row's register to the last one's, whatever is missing between.
    assert (register["energy_kwh"], register["bridged"], register["holes"]) == ("1.18", 1, [])
    assert house.holds()


def test_the_table_for_people(house: House) -> None:
    rows = house.rows("2020-01-01 00:00:00", 30)
    said = house.run([*rows[:10], "nonsense,1,2", *rows[12:]])
    assert said.code == 0
    assert "home/box/main" in said.out
    assert "line 12: time must be written as %Y-%m-%d %H:%M:%S" in said.out
    assert "hole of home/box/main: 2019-12-31T23:10:00Z to 2019-12-31T23:12:00Z" in said.out
    assert "Next: wattseal flush" in said.out


def test_refused_rows_have_line_numbers(house: House) -> None:
    rows = house.rows("2020-01-01 00:00:00", 10)
    rows[3] = rows[3].replace(",1.2,", ",-1.2,")
    rows[5] = rows[5].replace(",1.2,", ",?,")
    rows[7] = rows[6]
    rows[8] = "2020-01-01 00:08:00"
    said = house.said(rows)
    assert [(row["line"], row["meter_id"]) for row in said["refused"]] == [
        (5, "main"),
        (9, "main"),
        (9, "register"),
        (10, "main"),
        (10, "register"),
    ]
    assert said["meters"][0]["missing_values"] == 1
    assert house.holds()


def test_a_dry_run_writes_nothing(house: House) -> None:
    rows = house.rows("2020-01-01 00:00:00", 10)
    assert house.said(rows, "--dry-run")["written"] == 0
    assert house.wattseal("device", "meters", *house.here, "--json").json == []
    assert "Nothing was written" in house.run(rows, "--dry-run").out
    assert house.said(rows)["written"] > 0


def test_the_hour_that_comes_twice(house: House) -> None:
    rows = house.rows("2020-10-25 01:00:00", 120) + house.rows("2020-10-25 02:00:00", 120)
    said = house.said(rows)
    assert said["meters"][0]["holes"] == []
    assert (said["meters"][0]["first"], said["meters"][0]["last"]) == ("2020-10-24T23:00:00Z", "2020-10-25T03:00:00Z")
    assert sorted(said["decided"].values()) == [60, 60]
    # The second total falls back, as the rows were made: said, and begun anew.
    assert "fell" in said["refused"][0]["reason"]
    assert "hours that came twice" in house.run(rows, "--dry-run").out


def test_nothing_counts_twice(house: House) -> None:
    rows = house.rows("2020-01-01 00:00:00", 60)
    house.said(rows[:30])
    overlap = house.run(rows[20:])
    assert overlap.code == 1
    assert "overlap" in overlap.err
    assert "never counted twice" in overlap.err
    assert house.said(rows[31:])["written"] > 0
    assert house.holds()


def test_an_interrupted_import_is_finished(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = house.rows("2020-01-01 00:00:00", 600)
    monkeypatch.setattr(csv_import, "BATCH_RECORDS", 7)
    add, calls = HistoryEntries.add, []

    def failing(self: HistoryEntries, tx: Write, now_s: int, meter_id: str, records: Sequence[HistoryRecord]) -> int:
        calls.append(meter_id)
        if len(calls) == 12:
            raise Refusal("test", "the power failed")
        return add(self, tx, now_s, meter_id, records)

    with monkeypatch.context() as broken:
        broken.setattr(HistoryEntries, "add", failing)
        assert house.run(rows).code == 1
    said = house.said(rows)
    assert said["written"] > 0
    assert said["found"] > 0
    assert said["written"] + said["found"] == sum(meter["records"] for meter in said["meters"])
    assert house.said(rows)["written"] == 0
    assert house.holds()


def test_a_price_is_quoted_where_one_was_in_force(house: House) -> None:
    price = ("--site", "home", "--price", "100", "--from", "2020-01-01T00:10:00Z")
    house.said(house.rows("2019-12-01 00:00:00", 10))
    assert house.wattseal("tariff", "add", "day", *price, *house.here).code == 0
    house.said(house.rows("2020-01-01 01:00:00", 30))
    house.wattseal("flush", *house.here)
    span = ("--from", "2020-01-01T00:00:00Z", "--to", "2020-01-01T00:30:00Z")
    out = ("--out", "b.json", *house.here)
    assert house.wattseal("export", "--bundle", "home/box/main", *span, *out).code == 0
    bundle = Path("b.json").read_text(encoding="utf-8")
    assert bundle.count('\\"tariff_version\\":null') == 2
    assert bundle.count('\\"tariff_version\\":\\"day/1\\"') == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--zone", "Mars/Olympus"), "zone"),
        (("--site", "no site"), "--site"),
        (("--map", "nothing.toml"), "does not exist"),
    ],
)
def test_what_is_refused_before_anything_is_read(house: House, arguments: tuple[str, ...], said: str) -> None:
    answer = house.run(house.rows("2020-01-01 00:00:00", 5), *arguments)
    assert answer.code in {1, 2}
    assert said in answer.err


def test_a_file_without_rows(house: House) -> None:
    said = house.run([])
    assert said.code == 0
    assert "nothing was written" in said.out
