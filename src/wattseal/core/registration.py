"""Any entry of the registry, read by the name under which a batch commits to it (docs/spec/log.md §3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from wattseal.core.refusal import Refusal
from wattseal.core.registry import (
    DeviceKey,
    Meter,
    Signer,
    Tariff,
    parse_device_key,
    parse_meter,
    parse_signer,
    parse_tariff,
)

Registration: TypeAlias = Signer | DeviceKey | Meter | Tariff

_PARSERS: Final[dict[str, Callable[[bytes], Registration]]] = {
    "signer": parse_signer,
    "key": parse_device_key,
    "meter": parse_meter,
    "tariff": parse_tariff,
}


def parse_registration(name: str, body: bytes) -> Registration:
    """The registration in a body; Refusal unless it is the one that `name` names.

    Else an operator could enter one key under the id of another, and show readings of the one as the other's.
    """
    parse = _PARSERS.get(name.partition("/")[0])
    if parse is None:
        raise Refusal("name", f"must begin with {', '.join(f'{kind}/' for kind in _PARSERS)}")
    registration = parse(body)
    if registration.registry_name != name:
        raise Refusal("name", f"is not that of the registration, {registration.registry_name}")
    return registration
