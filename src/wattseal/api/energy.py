"""Energy by time, meter, device, site and kind of evidence, from rollups (docs/spec/energy.md)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from enum import StrEnum
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from wattseal.api.access_token import Caller
from wattseal.api.answer import answer, described
from wattseal.api.problem import busy
from wattseal.api.query import Identifier, Instant
from wattseal.api.services import AnyCaller, Here, Services
from wattseal.core.refusal import Refusal
from wattseal.core.units import kwh_text, rfc3339, sats_text
from wattseal.log.energy import TIMES, CatchingUp, EnergySums, Part
from wattseal.log.local_day import DAY_S
from wattseal.log.port import Read
from wattseal.log.zones import Zones

router = APIRouter(prefix="/api/v1/energy", tags=["energy"])

MAX_ROWS: Final = 10_000
_SPAN_S: Final = 31 * DAY_S
_FEW: Final = 64
"""Up to so many meters are asked about without waiting for a turn."""
_PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "site": ("site_id",),
    "device": ("site_id", "iot_device_id"),
    "meter": ("site_id", "iot_device_id", "meter_id"),
}
_KEYS: Final = (*TIMES, *_PLACES, "kind")
_SUMS: Final = ("records", "covered_s", "estimated_s", "energy_mwh", "export_mwh", "priced_mwh", "amount_msat")

_EXAMPLE: Final[dict[str, Any]] = {
    "records": 288,
    "covered_s": 86400,
    "estimated_s": 300,
    "energy_kwh": 12.34,
    "energy_mwh": 12340000,
    "export_kwh": 0,
    "export_mwh": 0,
    "priced_mwh": 12340000,
    "amount_sats": 1234,
    "amount_msat": 1234000,
    "kinds": {"device": 86100, "reported": 300},
}


class Form(StrEnum):
    """json, or csv with one line for each item."""

    JSON = "json"
    CSV = "csv"


def _keys(text: str) -> str:
    keys = text.split(",")
    if not set(keys) <= set(_KEYS) or len(set(keys)) != len(keys):
        raise Refusal("by", f"must be some of {', '.join(_KEYS)}, separated by commas, each once")
    if len(set(keys) & set(TIMES)) > 1:
        raise Refusal("by", f"may have one of {', '.join(TIMES)}")
    return text


class EnergyQuery(BaseModel):
    """Which energy, and how it is grouped."""

    by: Annotated[
        str,
        AfterValidator(_keys),
        Field(
            max_length=64,
            description="Up to one of hour, day, month, year, and any of site, device, meter, kind; with commas.",
            examples=["day,device"],
        ),
    ] = "day"
    from_: Annotated[
        Instant | None, Field(alias="from", description="The beginning; by default 31 days before `to`.")
    ] = None
    to: Annotated[Instant | None, Field(description="The end, itself not included; by default now.")] = None
    site: Identifier | None = None
    device: Identifier | None = None
    meter: Identifier | None = None
    format: Form | None = None


class EnergySum(BaseModel):
    """Sums over records. Members of the group (hour, day, site_id …) are there as `by` says."""

    model_config = ConfigDict(
        extra="allow", use_attribute_docstrings=True, json_schema_extra={"example": {"day": "2026-01-31"} | _EXAMPLE}
    )

    records: int
    """Records that begin in this time."""
    covered_s: int
    """Seconds that records cover."""
    estimated_s: int
    """Of these, seconds of records that are not `ok`, or that were split between two buckets by time."""
    energy_kwh: float
    """Import, an exact decimal."""
    energy_mwh: int
    export_kwh: float
    export_mwh: int
    priced_mwh: int
    """Import that has a quote."""
    amount_sats: float
    """What the quotes add up to; a quote is no bill."""
    amount_msat: int
    kinds: dict[str, int]
    """Covered seconds by kind of evidence."""


class EnergyAnswer(BaseModel):
    """Sums by group, in the order of the groups, and over all of them. Groups without a record are left out."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "from": "2026-01-31T00:00:00Z",
                "to": "2026-02-01T00:00:00Z",
                "by": ["day"],
                "items": [{"day": "2026-01-31"} | _EXAMPLE],
                "total": _EXAMPLE,
            }
        },
    )

    from_: Annotated[str, Field(alias="from")]
    to: str
    by: list[str]
    items: list[EnergySum]
    total: EnergySum


Group = tuple[str, ...]
"""The values of the members by which is grouped, in the order of `by`."""


class Sums:
    """What is added up for one group."""

    __slots__ = ("kinds", "values")

    def __init__(self) -> None:
        self.values = [0] * len(_SUMS)
        self.kinds: dict[str, int] = {}

    def add(self, kind: str, sums: Sequence[int]) -> None:
        """Add sums of one kind of evidence."""
        self.values = [have + more for have, more in zip(self.values, sums, strict=True)]
        self.kinds[kind] = self.kinds.get(kind, 0) + sums[1]


@router.get(
    "",
    summary="Energy by time and place",
    response_model=EnergyAnswer,
    responses=described(None, "The sums.", 401, 429, 503)
    | {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def get_energy(
    request: Request,
    here: Here,
    caller: AnyCaller,
    query: Annotated[EnergyQuery, Query()],
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """Sums of the records that the caller may see. Days, months and years are those of each meter's own time zone.

    At most 10,000 rows: narrow the time or the place for more. Costs in proportion to the answer.
    """
    to_s = here.now() if query.to is None else query.to
    from_s = max(to_s - _SPAN_S, 0) if query.from_ is None else query.from_
    keys = query.by.split(",")
    meters = _chosen(here, caller, query)
    with here.heavy(request, caller) if len(meters) > _FEW else nullcontext(), here.store.read() as read:
        groups = energy_groups(read, here.zones, meters, from_s, to_s, keys)
    if query.format is Form.CSV or (query.format is None and _wants_csv(accept)):
        return Response(_csv(keys, groups), media_type="text/csv; charset=utf-8; header=present")
    return energy_answer(groups, from_s, to_s, keys)


def energy_answer(groups: Mapping[Group, Sums], from_s: int, to_s: int, keys: Sequence[str]) -> Response:
    """An EnergyAnswer."""
    return answer(
        {
            "from": rfc3339(from_s),
            "to": rfc3339(to_s),
            "by": keys,
            "items": [_labels(keys, group) | _view(sums) for group, sums in groups.items()],
            "total": _view(_merged(groups.values())),
        }
    )


def energy_groups(
    read: Read, zones: Zones, meters: Mapping[int, str], from_s: int, to_s: int, keys: Sequence[str]
) -> dict[Group, Sums]:
    """The sums of these meters (number → path) by group, without groups in which nothing is."""
    by_time = next((key for key in keys if key in TIMES), None)
    by_meter = not _PLACES.keys().isdisjoint(keys)
    names = {meter_no: path.split("/") for meter_no, path in meters.items()}
    try:
        parts = EnergySums(read, zones, list(meters), from_s, to_s).parts(by_time, by_meter=by_meter)
        groups: dict[Group, Sums] = {}
        for part in parts:
            if not any(part.sums):
                continue
            group = _group(keys, part, names)
            if group not in groups:
                if len(groups) == MAX_ROWS:
                    raise Refusal("by", f"gives more than {MAX_ROWS} rows: take a shorter time, or group more coarsely")
                groups[group] = Sums()
            groups[group].add(part.kind, part.sums)
    except CatchingUp:
        raise busy(5) from None
    # A superseded record may leave zeros behind.
    return {group: sums for group, sums in sorted(groups.items()) if any(sums.values)}


def _chosen(here: Services, caller: Caller, query: EnergyQuery) -> dict[int, str]:
    """The meters that the caller may see and asks about, by number."""
    visible = here.visible_meters(caller)
    wanted = (query.site, query.device, query.meter)
    return {
        meter_no: path
        for path, meter_no in here.ingest.registry.meter_nos.items()
        if (visible is None or meter_no in visible)
        and all(want in {None, name} for want, name in zip(wanted, path.split("/"), strict=True))
    }


def _group(keys: Sequence[str], part: Part, names: Mapping[int, Sequence[str]]) -> Group:
    values: dict[str, str] = {}
    for key in keys:
        if key in _PLACES:
            values.update(zip(_PLACES[key], names[part.meter_no], strict=False))
        else:
            values[key] = part.kind if key == "kind" else part.bucket or ""
    return tuple(values.values())


def _members(keys: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(member for key in keys for member in _PLACES.get(key, (key,))))


def _labels(keys: Sequence[str], group: Group) -> dict[str, str]:
    return dict(zip(_members(keys), group, strict=True))


def _merged(sums: Iterable[Sums]) -> Sums:
    total = Sums()
    for one in sums:
        total.values = [have + more for have, more in zip(total.values, one.values, strict=True)]
        for kind, covered_s in one.kinds.items():
            total.kinds[kind] = total.kinds.get(kind, 0) + covered_s
    return total


def _texts(sums: Sums) -> dict[str, str]:
    """The numbers of an EnergySum as text: exact, also beyond 64 bits."""
    values = dict(zip(_SUMS, sums.values, strict=True))
    texts = {}
    for name, value in values.items():
        if name in {"energy_mwh", "export_mwh"}:
            texts[name.replace("_mwh", "_kwh")] = kwh_text(value)
        elif name == "amount_msat":
            texts["amount_sats"] = sats_text(value)
        texts[name] = str(value)
    return texts


def _view(sums: Sums) -> dict[str, Any]:
    numbers = {name: orjson.Fragment(text) for name, text in _texts(sums).items()}
    return {**numbers, "kinds": {kind: covered_s for kind, covered_s in sorted(sums.kinds.items()) if covered_s}}


def _wants_csv(accept: str) -> bool:
    return "text/csv" in {part.partition(";")[0].strip() for part in accept.lower().split(",")}


def _csv(keys: Sequence[str], groups: Mapping[Group, Sums]) -> str:
    """One line for each group, and a column of covered seconds for each kind of evidence that there is."""
    kinds = sorted({kind for sums in groups.values() for kind in sums.kinds})
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*_members(keys), *_texts(Sums()), *(f"covered_s_{kind}" for kind in kinds)])
    for group, sums in groups.items():
        writer.writerow([*group, *_texts(sums).values(), *(sums.kinds.get(kind, 0) for kind in kinds)])
    return text.getvalue()
