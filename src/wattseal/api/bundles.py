"""Proof bundles: the files that a stranger verifies (docs/spec/proof.md)."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from wattseal.api.answer import described
from wattseal.api.logs import attachment, not_yet
from wattseal.api.problem import not_found
from wattseal.api.query import Instant, MeterPath
from wattseal.api.services import AnyCaller, Here
from wattseal.core.refusal import Refusal
from wattseal.log.bundle import NotYet, build_bundle

router = APIRouter(prefix="/api/v1/bundles", tags=["records"])


class BundleQuery(BaseModel):
    """Which bundle."""

    meter: Annotated[MeterPath, Field(description="site/device/meter")]
    from_: Annotated[Instant, Field(alias="from", description="The first instant.")]
    to: Annotated[Instant, Field(description="The instant after the last.")]
    since: Annotated[int | None, Field(ge=1, le=2**53, description="A size of the log that you know already.")] = None


@router.get(
    "",
    summary="A proof bundle of a meter's period",
    response_class=Response,
    responses=described(None, "", 401, 404, 409, 410, 429, 503)
    | {
        200: {
            "description": "A `*.wattseal.json`: check it with `wattseal verify`.",
            "content": {"application/json": {"schema": {"type": "object"}, "example": {"format": "wattseal-bundle-1"}}},
        }
    },
)
def get_bundle(request: Request, here: Here, caller: AnyCaller, query: Annotated[BundleQuery, Query()]) -> Response:
    """All that is needed to check the records of a meter offline, for whoever may read them."""
    if query.from_ >= query.to:
        raise Refusal("to", "must lie after from")
    if not here.may_read(caller, query.meter):
        raise not_found(f"meter {query.meter}", "Check its path, or use a token that may see it.")
    with here.heavy(request, caller), here.store.read() as read:
        try:
            data = build_bundle(read, path=query.meter, from_s=query.from_, to_s=query.to, since=query.since)
        except NotYet as error:
            raise not_yet(here, error) from None
    name = re.sub(r"[^A-Za-z0-9._-]", "_", f"{query.meter}_{query.from_}_{query.to}")
    return attachment(data, f"{name}.wattseal.json", "application/json")
