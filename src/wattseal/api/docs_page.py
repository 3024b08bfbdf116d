"""/docs without the network: Swagger UI from an installed package, started by a script of ours."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from wattseal.api.problem import not_found

router = APIRouter(include_in_schema=False)

_CACHE: Final = {"Cache-Control": "public, max-age=86400"}
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Wattseal: the API</title>
<link rel="icon" href="/assets/seal.svg">
<link rel="stylesheet" href="/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/assets/swagger-ui-bundle.js"></script>
<script src="/assets/docs.js"></script>
<noscript>This page needs JavaScript. The same, for programs: <a href="/openapi.json">/openapi.json</a></noscript>
</body>
</html>
"""


def _files() -> dict[str, tuple[Path, str]]:
    """Every asset by name: where it lies, and its content type."""
    own = Path(__file__).with_name("assets")
    # The package is a holder of files here: importing it would only make a FastAPI class that nobody needs.
    spec = find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("fastapi_offline holds the files of /docs; install wattseal[server]")
    swagger = Path(spec.origin).with_name("static")
    css, script, svg = "text/css; charset=utf-8", "text/javascript; charset=utf-8", "image/svg+xml"
    return {
        "page.css": (own / "page.css", css),
        "docs.js": (own / "docs.js", script),
        "seal.svg": (own / "seal.svg", svg),
        "swagger-ui.css": (swagger / "swagger-ui.css", css),
        "swagger-ui-bundle.js": (swagger / "swagger-ui-bundle.js", script),
    }


_FILES: Final = _files()


@router.get("/docs")
def get_docs() -> Response:
    """The API, to read and to try."""
    return HTMLResponse(_PAGE)


@router.get("/assets/{name}")
def get_asset(name: str) -> Response:
    """One of the known files, and no path."""
    if name not in _FILES:
        raise not_found("file of this name", "See /docs.")
    path, media_type = _FILES[name]
    return Response(path.read_bytes(), media_type=media_type, headers=_CACHE)
