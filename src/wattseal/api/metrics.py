"""Counters and gauges for Prometheus; each app has its own registry, so that two in one process do not mix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE: Final = "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"
_SECONDS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_UNKNOWN_ROUTE: Final = "none"

disable_created_metrics()  # type: ignore[no-untyped-call]  # a gauge for each route with the time since when it counts: nobody asked


class _Gauges(Collector):
    """Values that are looked up when somebody asks."""

    def __init__(self, look: Callable[[], Mapping[str, tuple[str, float]]]) -> None:
        self._look = look

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """One gauge for each name."""
        for name, (words, value) in self._look().items():
            yield GaugeMetricFamily(f"wattseal_{name}", words, value=value)


class Metrics:
    """What is counted."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self.readings = Counter(
            "wattseal_readings", "Readings and intervals by outcome", ("outcome",), registry=self._registry
        )
        self.durable = Histogram(
            "wattseal_durable_seconds",
            "Time from a request's submission to its receipts, by which all of it is durable or refused",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.quarantined = Counter(
            "wattseal_quarantined", "Readings and intervals set aside, by reason", ("reason",), registry=self._registry
        )
        self.requests = Counter(
            "wattseal_requests", "Requests by route and status", ("method", "route", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "wattseal_request_seconds", "Time per request", ("route",), buckets=_SECONDS, registry=self._registry
        )

    def watch(self, look: Callable[[], Mapping[str, tuple[str, float]]]) -> None:
        """Add gauges: name -> (what it is, its value now)."""
        self._registry.register(_Gauges(look))

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)


class CountRequests:
    """ASGI middleware that counts requests by the route's template, never by the address, which anybody can make up."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, start = 500, perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", _UNKNOWN_ROUTE)
            method = scope["method"] if scope["method"] in {"GET", "HEAD", "POST", "PUT", "DELETE"} else "other"
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.seconds.labels(route).observe(perf_counter() - start)
