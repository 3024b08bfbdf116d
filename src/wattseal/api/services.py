"""What the routes work with, given to them by serve.py, and who calls them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http import HTTPStatus
from time import time
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from wattseal.anchor.attest import Attestor
from wattseal.api.access_token import NOBODY, Caller, TokenBook, TokenError
from wattseal.api.connections import ConnectionLimits
from wattseal.api.heavy_work import HeavyWork
from wattseal.api.metrics import Metrics
from wattseal.api.problem import Problem
from wattseal.api.source_rate import SourceRate
from wattseal.api.watch import Watch
from wattseal.config import Settings
from wattseal.core.note_key import Ed25519Signer
from wattseal.ingest.ingest import Ingest
from wattseal.ingest.mqtt import Receiver
from wattseal.log.port import Store
from wattseal.log.sequencer import Sequencer
from wattseal.log.zones import Zones


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a running site."""

    settings: Settings
    store: Store
    sequencer: Sequencer
    ingest: Ingest
    attestor: Attestor | None
    operator: Ed25519Signer
    tokens: TokenBook
    rate: SourceRate
    metrics: Metrics
    watch: Watch
    connections: ConnectionLimits
    heavy_work: HeavyWork
    zones: Zones = field(default_factory=Zones)
    mqtt: Receiver | None = None

    def now(self) -> int:
        """This machine's clock, in Unix seconds."""
        return int(time())

    def heavy(self, request: Request, caller: Caller) -> AbstractContextManager[None]:
        """Around work that takes seconds of processor time."""
        return self.heavy_work.turn(source_address(request), has_token=caller is not NOBODY)

    def visible_meters(self, caller: Caller) -> frozenset[int] | None:
        """The numbers of the meters whose records the caller may read; None: of all."""
        if self.settings.public_records or caller.sees_everything:
            return None
        registry = self.ingest.registry
        return frozenset(
            registry.meter_nos[path] for path, meter in registry.meters.items() if meter.disclosed or caller.sees(path)
        )

    def may_read(self, caller: Caller, path: str) -> bool:
        """Whether that meter (site/device/meter) exists and the caller may read its records."""
        meter = self.ingest.registry.meters.get(path)
        return meter is not None and (self.settings.public_records or meter.disclosed or caller.sees(path))


def source_address(request: Request) -> str:
    """The address of whoever asks, by a trusted proxy's word where there is one."""
    return "" if request.client is None else request.client.host


async def _services(request: Request) -> Services:  # not `def`: FastAPI would send that to a thread
    services: Services = request.app.state.services
    return services


Here = Annotated[Services, Depends(_services)]

_BEARER = HTTPBearer(
    auto_error=False, scheme_name="token", description="An access token: `wattseal_` and 43 characters."
)


def unauthorized(detail: str) -> Problem:
    """A token is missing, or does not count."""
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "token",
        "A token is needed",
        detail,
        next_step="Send `Authorization: Bearer wattseal_…`. An operator makes tokens: POST /api/v1/tokens.",
        headers={"WWW-Authenticate": "Bearer"},
    )


async def _anyone(
    request: Request, here: Here, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
) -> Caller:
    if credentials is None:
        if "authorization" in request.headers:
            raise unauthorized("The Authorization header is no bearer token.")
        return NOBODY
    try:
        return here.tokens.caller(credentials.credentials, int(time()))
    except TokenError as error:
        raise unauthorized(str(error)) from None


AnyCaller = Annotated[Caller, Depends(_anyone)]
"""Whoever asks. A token that does not count is refused even where none is needed, so that nobody relies on it."""


def _with_scope(*scopes: str) -> Callable[[Caller], Awaitable[Caller]]:
    async def check(caller: AnyCaller) -> Caller:
        if caller is NOBODY:
            raise unauthorized(f"This needs a token with the scope {' or '.join(scopes)}.")
        if caller.scopes.isdisjoint(scopes):
            raise forbidden(f"This needs the scope {' or '.join(scopes)}.")
        return caller

    return check


def forbidden(detail: str) -> Problem:
    """The token is good, and not for this."""
    return Problem(
        HTTPStatus.FORBIDDEN, "scope", "The token may not do that", detail, next_step="Use a token that has the scope."
    )


Operator = Annotated[Caller, Depends(_with_scope("operator"))]
Auditor = Annotated[Caller, Depends(_with_scope("operator", "auditor"))]
Enroller = Annotated[Caller, Depends(_with_scope("operator", "enrol"))]
