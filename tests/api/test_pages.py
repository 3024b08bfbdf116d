"""The pages for people, the documentation, health and counters; and the headers that every answer carries."""

from __future__ import annotations

import re

import pytest
from openapi_spec_validator import validate

from tests.api.live import Device, Server, bad, good
from wattseal.api.health import HealthView

EVERYWHERE = ["/", "/docs", "/health", "/metrics", "/openapi.json", "/api/v1/logs", "/nothing", "/assets/page.css"]


@pytest.mark.parametrize("path", EVERYWHERE)
def test_headers(server: Server, path: str) -> None:
    headers = server.as_nobody.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_from_elsewhere(server: Server, path: str) -> None:
    page = server.as_nobody.get(path)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"""(?:src|href)=["'](?!/)|<style|style=|<script>|\bon\w+=|//""", page.text)
    for asset in re.findall(r"""(?:src|href)="(/assets/[^"]+)""", page.text):
        answer = server.as_nobody.get(asset)
        assert answer.status_code == 200, asset
        assert len(answer.content) > 100
        assert answer.headers["content-type"].partition(";")[0] in {"text/css", "text/javascript", "image/svg+xml"}


@pytest.mark.parametrize("name", ["..%2findex_page.py", "%2e%2e/app.py", "x.js", ""])
def test_assets_are_no_folder(server: Server, name: str) -> None:
    bad(server.as_nobody.get(f"/assets/{name}"), 404)


def test_the_first_page_shows_what_came(server: Server) -> None:
    assert "none yet" in server.as_nobody.get("/").text
    public, hidden = Device("site-1", "shown"), Device("site-1", "hidden")
    server.enrol(public, disclosed=True)
    server.enrol(hidden)
    tags = server.as_operator.post(
        "/api/v1/logs",
        json={
            "site_id": "site-1",
            "iot_device_id": "shown",
            "meter_id": "r1",
            "ts_start": "2026-01-01T00:00:00Z",
            "ts_end": "2026-01-01T01:00:00Z",
            "interval_s": 3600,
            "energy_kwh": 1.5,
            "tags": ["<script>alert(1)</script>"],
        },
    )
    good(tags)
    server.send(public.next(), public.next())
    server.send(hidden.next(), hidden.next())
    batch = server.flush()
    good(server.as_operator.post(f"/api/v1/batches/{batch['id']}/anchor/simulate"))
    page = server.as_nobody.get("/").text
    assert "site-1/shown/main" in page
    assert "hidden" not in page
    assert "<script>" not in page
    assert batch["root"] in page
    assert '<span class="simulated">simulated</span>' in page


def test_openapi_is_valid_and_has_examples(server: Server) -> None:
    schema = good(server.as_nobody.get("/openapi.json"))
    validate(schema)
    assert set(schema["components"]["securitySchemes"]) == {"token"}
    lacking = []
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            name = f"{method.upper()} {path}"
            assert operation["summary"], name
            assert operation["description"], name
            assert "422" not in operation["responses"], name
            lacking += [f"{name}: {part}" for part in _without_example(schema, operation)]
    assert not lacking, "\n".join(lacking)


def _without_example(schema: dict, operation: dict) -> list[str]:  # type: ignore[type-arg]
    """The bodies and parameters of an operation that nothing gives an example of."""
    found = []
    for status, answer in operation["responses"].items():
        for kind, content in answer.get("content", {}).items():
            if not _has_example(schema, content):
                found.append(f"{status} {kind}")
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        if not _has_example(schema, content):
            found.append(f"body {kind}")
    return found


def _has_example(schema: dict, content: dict) -> bool:  # type: ignore[type-arg]
    """An example of its own, or one in the schema that it refers to, or in all that is in it."""
    if "example" in content or "examples" in content:
        return True
    inner = content.get("schema", content)
    if "$ref" in inner:
        return _has_example(schema, schema["components"]["schemas"][inner["$ref"].rpartition("/")[2]])
    if "anyOf" in inner:
        return all(_has_example(schema, each) for each in inner["anyOf"])
    if inner.get("format") == "binary" or inner.get("type") in {"string", "integer", "boolean", "null"}:
        return True
    if inner.get("type") == "array":
        return _has_example(schema, inner["items"])
    parts = inner.get("properties", {}).values()
    return "example" in inner or (bool(parts) and all(_has_example(schema, part) for part in parts))


def test_every_route_refuses_what_it_does_not_know(server: Server) -> None:
    schema = good(server.as_nobody.get("/openapi.json"))
    for path, operations in schema["paths"].items():
        if "get" in operations:
            concrete = re.sub(
                r"\{(\w+)\}", lambda name: {"batch_id": "0", "path": "0/000"}.get(name[1], 32 * "0"), path
            )
            problem = bad(server.as_operator.get(f"{concrete}?surprise=1"), 400)
            assert problem["field"] == "surprise", path


def test_methods_that_a_route_does_not_have(server: Server) -> None:
    for method, path in (("DELETE", "/api/v1/logs"), ("PUT", "/health"), ("POST", "/log/checkpoint"), ("PATCH", "/")):
        answer = server.as_operator.request(method, path)
        bad(answer, 405)
        assert "GET" in answer.headers["allow"] or "POST" in answer.headers["allow"]


def test_health(server: Server) -> None:
    view = HealthView.model_validate(good(server.as_nobody.get("/health")))
    assert (view.status, view.problems, view.chain, view.origin) == ("ok", [], "simulated", server.settings.origin)


def test_metrics(server: Server) -> None:
    good(server.as_nobody.get("/health"))
    server.as_nobody.get("/api/v1/logs/" + 32 * "f")
    server.as_nobody.get("/somewhere/else")
    text = server.as_nobody.get("/metrics").text
    assert re.search(r'wattseal_requests_total\{method="GET",route="/health",status="200"\} [1-9]', text)
    assert 'route="/api/v1/logs/{log_id}",status="404"' in text
    assert 'route="none",status="404"' in text
    assert "somewhere" not in text
    assert re.search(r"^wattseal_entries \d", text, re.MULTILINE)
    assert re.search(r"^wattseal_halted 0", text, re.MULTILINE)
