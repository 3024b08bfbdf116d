from __future__ import annotations

import pytest

from wattseal.core.refusal import Refusal
from wattseal.ingest.mqtt_topic import DEFAULT_FILTER, Names, check_filter, names_of


def test_the_last_three_levels_name_the_meter() -> None:
    assert names_of(b"energy/PLANT-01/gw-1/MTR-001") == Names("PLANT-01", "gw-1", "MTR-001", "PLANT-01/gw-1/MTR-001")
    assert names_of(b"a/b/energy/s/d/m") == Names("s", "d", "m", "s/d/m")


@pytest.mark.parametrize(
    ("topic", "field"),
    [
        (b"energy/site/device", "topic"),
        (b"", "topic"),
        (b"energy/site/device/\xff", "topic"),
        (b"energy/site/device/\xed\xa0\x80", "topic"),
        (b"energy/s/d/" + b"m" * 2_000, "topic"),
        (b"energy/s/d/" + b"m" * 65, "meter_id"),
        (b"energy//d/m", "site_id"),
        (b"energy/s/d d/m", "iot_device_id"),
        ("energy/s/d/zähler".encode(), "meter_id"),
    ],
)
def test_a_topic_that_names_nothing(topic: bytes, field: str) -> None:
    found = names_of(topic)
    assert isinstance(found, Refusal)
    assert found.field == field
    assert found.__traceback__ is None


@pytest.mark.parametrize(
    "text", [DEFAULT_FILTER, "energy/+/+/+", "energy/PLANT-01/+/+", "a/b/c/+/+/+", "$share/g/a/+/+/m"]
)
def test_a_filter(text: str) -> None:
    assert check_filter(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "energy/#",
        "energy/+/+",
        "+/+/+",
        "$share/g",
        "$share//a/+/+/+",
        "energy/a+/+/+",
        "energy//+/+",
        "$share/g/+/+/+",
    ],
)
def test_a_filter_that_cannot_name_a_meter(text: str) -> None:
    with pytest.raises(Refusal) as refusal:
        check_filter(text)
    assert refusal.value.field == "mqtt_topic"
