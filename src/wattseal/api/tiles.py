"""The log's files for everybody, at the paths of C2SP tlog-tiles (docs/spec/log.md §6)."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Response

from wattseal.api.answer import described
from wattseal.api.problem import not_found
from wattseal.api.services import Here
from wattseal.core.refusal import Refusal
from wattseal.core.tiles import Tile
from wattseal.log.reader import LogReader

router = APIRouter(prefix="/log", tags=["log"])

_FOR_ANYBODY: Final = {"Access-Control-Allow-Origin": "*"}
"""Whoever checks a proof in a browser fetches these from a page of another origin."""
_FOREVER: Final = _FOR_ANYBODY | {"Cache-Control": "public, max-age=31536000, immutable"}
_FOR_NOW: Final = _FOR_ANYBODY | {"Cache-Control": "no-cache"}
"""A partial tile never changes either, but the full one replaces it soon; it is not worth a place in a cache."""


@router.get(
    "/checkpoint",
    summary="The newest signed checkpoint",
    response_class=Response,
    responses=described(None, "A C2SP signed note.", 404)
    | {
        200: {
            "description": "A C2SP signed note.",
            "content": {"text/plain": {"example": "localhost/wattseal\n4\n…\n\n— localhost/wattseal …\n"}},
        }
    },
)
def get_checkpoint(here: Here) -> Response:
    """The head of the log: origin, size, root and signatures. Before the first batch there is none."""
    with here.store.read() as read:
        checkpoint = LogReader(read).checkpoint
    if checkpoint is None:
        raise not_found("checkpoint", "The log has no closed batch yet; one closes soon after the first entry.")
    return Response(checkpoint.encode(), media_type="text/plain; charset=utf-8", headers=_FOR_NOW)


@router.get(
    "/tile/{path:path}",
    summary="A tile or an entry bundle",
    response_class=Response,
    responses=described(None, "", 404)
    | {
        200: {
            "description": "Hashes of 32 bytes, or entries with their lengths.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
def get_tile(
    here: Here,
    path: Annotated[
        str, Path(description="`<level>/<index>[.p/<width>]` or `entries/<index>[.p/<width>]`", examples=["0/000.p/4"])
    ],
) -> Response:
    """The tree in files of 256 hashes; together with the checkpoint all that a proof needs."""
    try:
        tile = Tile.parse(f"tile/{path}")
    except Refusal:
        raise not_found("tile of this name", "See C2SP tlog-tiles for the names.") from None
    with here.store.read() as read:
        data = LogReader(read).tile_bytes(tile)
    if data is None:
        raise not_found("such tile", "The checkpoint does not reach so far yet.")
    is_full = tile.path.rpartition(".p/")[1] == ""
    return Response(data, media_type="application/octet-stream", headers=_FOREVER if is_full else _FOR_NOW)
