"""What a mapping may say, and that every wrong one is refused with the member named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wattseal.core.document import MAX_BODY_BYTES
from wattseal.core.refusal import Refusal
from wattseal.ingest.csv_mapping import MAX_MAPPING_BYTES, open_energy_dashboard, parse_mapping

GOOD = """\
version = 1
zone = "Europe/Paris"
delimiter = ";"
decimal = ","
missing = ["", "?"]

[time]
start = "when"
format = "%d/%m/%Y %H:%M"
interval_s = 60

[[meter]]
meter_id = "main"
import = "power"
unit = "kW"
role = "main"
record_interval_s = 300

[[meter]]
meter_id = "roof"
export = "sun"
unit = "Wh"
"""


def test_a_mapping() -> None:
    mapping = parse_mapping(GOOD)
    assert mapping.zone == "Europe/Paris"
    assert (mapping.delimiter, mapping.decimal, mapping.missing, mapping.header) == (";", ",", ("", "?"), True)
    assert (mapping.time.start, mapping.time.end, mapping.time.interval_s) == ("when", None, 60)
    main, roof = mapping.meters
    assert (main.meter_id, main.imported, main.exported, main.role, main.record_interval_s) == (
        "main",
        "power",
        None,
        "main",
        300,
    )
    assert (roof.imported, roof.exported, roof.role, roof.record_interval_s) == (None, "sun", "consumption", None)


def test_the_digest_covers_what_was_left_out() -> None:
    short = 'version = 1\n[time]\nstart = "t"\ninterval_s = 60\n[[meter]]\nmeter_id = "m"\nimport = "v"\nunit = "Wh"\n'
    spelled = short.replace("version = 1\n", 'version = 1\nzone = "UTC"\ndelimiter = ","\nheader = true\n')
    assert parse_mapping(short).sha256() == parse_mapping(spelled).sha256()
    assert parse_mapping(short).sha256() != parse_mapping(short).in_zone("Europe/Paris").sha256()


def test_the_ready_mapping_for_open_energy_dashboard() -> None:
    mapping = open_energy_dashboard("m1")
    assert (mapping.time.start, mapping.time.end) == ("start time", "end time")
    assert (mapping.meters[0].imported, mapping.meters[0].unit) == ("reading", "kWh")
    with pytest.raises(Refusal, match="meter"):
        open_energy_dashboard("not an id")


def test_columns_by_number_without_a_header() -> None:
    text = 'version = 1\nheader = false\n[time]\nend = 1\n[[meter]]\nmeter_id = "m"\nimport = 2\nunit = "register-Wh"\n'
    assert parse_mapping(text).meters[0].imported == 2
    with pytest.raises(Refusal, match="by number"):
        parse_mapping(text.replace("import = 2", 'import = "value"'))
    with pytest.raises(Refusal, match="by name"):
        parse_mapping(text.replace("header = false", "header = true"))


def test_a_mapping_fits_into_its_statement() -> None:
    assert MAX_MAPPING_BYTES < MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("change", "to", "named"),
    [
        ("version = 1", "version = 2", "version"),
        ("version = 1", "version = 1.0", "mapping"),
        ("[time]", "[time", "mapping"),
        ("[time]", "[times]", "time"),
        ('start = "when"\n', "", "time"),
        ("interval_s = 60\n", "", "time.interval_s"),
        ("interval_s = 60", "interval_s = 0", "time.interval_s"),
        ("interval_s = 60", 'interval_s = 60\nend = "to"', "time.interval_s"),
        ('decimal = ","', 'decimal = ";"', "decimal"),
        ('delimiter = ";"', 'delimiter = ";;"', "delimiter"),
        ('delimiter = ";"', "delimiter = '\"'", "delimiter"),
        ('unit = "kW"', 'unit = "kw"', "meter.unit"),
        ('role = "main"', 'role = "boss"', "meter.role"),
        ('meter_id = "roof"', 'meter_id = "main"', "meter.meter_id"),
        ('meter_id = "roof"', 'meter_id = "ro of"', "meter.meter_id"),
        ('import = "power"\n', "", "meter"),
        ('export = "sun"', 'export = "sun"\nnegative = "export"', "meter.negative"),
        ('export = "sun"', 'export = "sun"\ncolour = "red"', "meter.colour"),
        ("record_interval_s = 300", "record_interval_s = 86401", "meter.record_interval_s"),
    ],
)
def test_a_wrong_mapping_is_refused(change: str, to: str, named: str) -> None:
    assert change in GOOD
    with pytest.raises(Refusal) as refusal:
        parse_mapping(GOOD.replace(change, to))
    assert refusal.value.field == named


def test_a_long_mapping_is_refused_before_it_is_read() -> None:
    with pytest.raises(Refusal, match="longer"):
        parse_mapping(GOOD + "#" * MAX_MAPPING_BYTES)


def test_the_tutorials_mapping_is_one() -> None:
    tutorial = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "import.md"
    (block,) = re.findall(r"^```toml\n(.*?)^```", tutorial.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert [meter.meter_id for meter in parse_mapping(block).meters] == ["main", "kitchen"]
