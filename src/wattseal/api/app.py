"""The HTTP application: routes, errors, limits and headers put together around the parts of a site."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi

from wattseal import __version__
from wattseal.api import (
    batches,
    bundles,
    discontinuities,
    docs_page,
    energy,
    health,
    index_page,
    keys,
    live,
    logs,
    meters,
    problem,
    quarantine,
    submission,
    tariffs,
    tiles,
    tokens,
)
from wattseal.api.body_limit import BodyLimit
from wattseal.api.metrics import CountRequests
from wattseal.api.problem import ProblemDetails
from wattseal.api.query import known_queries, refuse_unknown_queries
from wattseal.api.response_headers import ResponseHeaders
from wattseal.api.services import Services

_DESCRIPTION: Final = """\
Signed readings become records in an append-only log, and the log is anchored in a chain of blocks.

- A device's signed reading needs no token: its signature is its credential.
- Everything that a stranger needs to check a proof is open. Records are seen by whoever holds a token for their meter,
  those of disclosed meters by everybody.
- Errors are problem details (RFC 9457): `field`, `reason` and `next_step` say what is wrong and what to do.
- Quantities come from integers (mWh, millisatoshi); a logged document is sent as the bytes that were hashed.
"""

_ROUTERS: Final = (
    submission,
    logs,
    energy,
    live,
    bundles,
    batches,
    tiles,
    meters,
    discontinuities,
    keys,
    tariffs,
    quarantine,
    tokens,
    health,
)
_PAGES: Final = (index_page, docs_page)


def build_app(
    services: Services, lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None
) -> FastAPI:
    """The application over a site's parts; `lifespan` starts and stops what runs beside it."""
    app = FastAPI(
        title="Wattseal",
        version=__version__,
        description=_DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        dependencies=[Depends(refuse_unknown_queries)],
        redirect_slashes=False,
    )
    app.state.services = services
    for module in (*_ROUTERS, *_PAGES):
        app.include_router(module.router)
    problem.install(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way
    app.state.known_queries = known_queries(app)
    settings = services.settings
    # The one added last sees a request first.
    app.add_middleware(
        BodyLimit,
        limit=settings.max_body_bytes,
        together=settings.max_buffered_bytes,
        timeout_s=settings.body_timeout_s,
    )
    app.add_middleware(ResponseHeaders)
    app.add_middleware(CountRequests, metrics=services.metrics)
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """OpenAPI as FastAPI makes it, but for the errors: here they are problems with status 400, never its own 422."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            license_info=app.license_info,
            routes=app.routes,
        )
        for operations in made["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
        schemas = made["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas[ProblemDetails.__name__] = ProblemDetails.model_json_schema()
        app.openapi_schema = made
    return app.openapi_schema
