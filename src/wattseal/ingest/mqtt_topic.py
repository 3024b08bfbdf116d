"""Whose message it is: the last three levels of a topic name site, device and meter (docs/spec/mqtt.md §1)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from wattseal.core.refusal import Refusal
from wattseal.core.units import identifier

DEFAULT_FILTER: Final = "energy/+/+/+"
"""Not shared: Mosquitto saves no shared subscription, and drops what comes after its restart (docs/spec/mqtt.md §1)."""
MAX_TOPIC_BYTES: Final = 1_024
_FIELDS: Final = ("site_id", "iot_device_id", "meter_id")
_CACHED: Final = 32_768


class Names(NamedTuple):
    """Site, device and meter that a topic names, and its path as the registry has it."""

    site_id: str
    iot_device_id: str
    meter_id: str
    path: str


def check_filter(text: str) -> str:
    """The same filter, if its last three levels can name site, device and meter; else Refusal."""
    levels = text.split("/")
    if levels[0] == "$share":
        if len(levels) < 3 or not levels[1]:
            raise Refusal("mqtt_topic", f"a shared subscription has a name, as in $share/wattseal/{DEFAULT_FILTER}")
        levels = levels[2:]
    if len(levels) < 4 or not all(levels):
        raise Refusal("mqtt_topic", "must have a first level and then site, device and meter, as in energy/+/+/+")
    if "#" in text:
        raise Refusal(
            "mqtt_topic", "must not hold #: the last three levels are site, device and meter, each + or a name"
        )
    if any("+" in level and level != "+" for level in levels) or len(text.encode()) > MAX_TOPIC_BYTES:
        raise Refusal("mqtt_topic", "is no topic filter: + stands for a whole level")
    return text


@lru_cache(_CACHED)
def names_of(topic: bytes) -> Names | Refusal:
    """What a topic names, or why it names nothing. Devices use the same topic again and again, so it is remembered."""
    try:
        if len(topic) > MAX_TOPIC_BYTES:
            raise Refusal("topic", f"is longer than {MAX_TOPIC_BYTES} bytes")
        try:
            levels = topic.decode().split("/")
        except UnicodeDecodeError:
            raise Refusal("topic", "is not UTF-8") from None
        if len(levels) < 4:
            raise Refusal("topic", "must end in site/device/meter")
        site_id, device_id, meter_id = map(identifier, levels[-3:], _FIELDS)
    except Refusal as refusal:
        return refusal.with_traceback(None)  # else the cache would keep its frames
    return Names(site_id, device_id, meter_id, f"{site_id}/{device_id}/{meter_id}")
