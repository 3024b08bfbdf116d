"""A real server in a process of its own, and devices that send it what they like."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import httpx

from wattseal.config import Settings, load_settings
from wattseal.core.reading import Reading, encode_payload
from wattseal.serve import make_site
from wattseal.simulate.element import SimulatedElement

PROGRAM = """
import sys
from pathlib import Path
from wattseal.config import load_settings
from wattseal.server import serve
if __name__ == "__main__":
    serve(load_settings(Path(sys.argv[1])), lambda site, url: print(url, flush=True))
"""

COSE, SEQUENCE = "application/cose", "application/cbor-seq"
INTERVAL_S = 300


class Server:
    """A site in `folder`, served. `as_operator` sends the operator's token, `as_nobody` sends none."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder / "site"
        values: dict[str, Any] = {
            "batch_max_s": 3_600,
            "anchor_interval_s": 0,
            "mining_interval_s": 0,
            "workers": 1,
            **settings,
        }
        self.token = make_site(Settings(data_dir=self.folder, guard=folder / "guard" / "log", port=0, **values))
        self.settings = load_settings(self.folder / "wattseal.toml")
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-c", PROGRAM, str(self.folder / "wattseal.toml")]
        self.errors = (self.folder / "stderr.txt").open("ab")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.url = (self.process.stdout.readline() if self.process.stdout else "").strip()
        assert self.url, (self.folder / "stderr.txt").read_text()
        self.as_nobody = httpx.Client(base_url=self.url, timeout=30)
        self.as_operator = self.client(self.token)

    def client(self, token: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, headers={"Authorization": f"Bearer {token}"})

    def stop(self) -> int:
        """End it as an operator would; its exit code."""
        self.as_nobody.close()
        self.as_operator.close()
        self.process.terminate()
        code = self.process.wait(30)
        if self.process.stdout:
            self.process.stdout.close()
        self.errors.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def make_token(self, *scopes: str, subject: tuple[str, ...] = (), **more: object) -> str:
        given = {"label": "test", "scopes": scopes, "subject": subject, **more}
        return str(good(self.as_operator.post("/api/v1/tokens", json=given), 201)["token"])

    def enrol(self, device: Device, **meter: object) -> None:
        """Register a device's key and its meter."""
        good(self.as_operator.post("/api/v1/keys", json=device.key_document()), 201)
        good(self.as_operator.post("/api/v1/meters", json=device.meter_document() | meter), 201)

    def send(self, *items: bytes, token: bool = False) -> list[dict[str, Any]]:
        """Post signed readings; the results."""
        client = self.as_operator if token else self.as_nobody
        body, kind = b"".join(items), SEQUENCE if len(items) > 1 else COSE
        answer = good(client.post("/api/v1/logs", content=body, headers={"Content-Type": kind}))
        return answer["results"] if len(items) > 1 else [answer]

    def pages(self, path: str, client: httpx.Client | None = None) -> Iterator[dict[str, Any]]:
        """Every page of a list; `path` has a query."""
        page = good((client or self.as_operator).get(path))
        yield page
        while page["next_cursor"] is not None:
            page = good((client or self.as_operator).get(f"{path}&cursor={page['next_cursor']}"))
            yield page

    def flush(self) -> dict[str, Any]:
        return good(self.as_operator.post("/api/v1/batches/flush"))


def good(response: httpx.Response, status: int = 200) -> dict[str, Any]:
    assert response.status_code == status, (response.status_code, response.text)
    return response.json()  # type: ignore[no-any-return]


def bad(response: httpx.Response, status: int) -> dict[str, Any]:
    """A problem with that status, whose members are those of RFC 9457 and say what to do."""
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:wattseal:problem:")
    assert problem["title"]
    assert problem["next_step"]
    return problem


class Device:
    """A meter with a key of its own that signs whatever it is told to."""

    def __init__(self, site_id: str, device_id: str, meter_id: str = "main", *, now: int | None = None) -> None:
        self.site_id, self.device_id, self.meter_id = site_id, device_id, meter_id
        self.path = f"{site_id}/{device_id}/{meter_id}"
        self.element = SimulatedElement(f"{self.path} {time.time_ns()}".encode())
        self.start_s = ((now or int(time.time())) - 40 * INTERVAL_S) // INTERVAL_S * INTERVAL_S
        self.last = Reading(
            self.element.serial, meter_id, 0, 0, self.start_s, 2, 5_000_000, 0, 0, 0, b"firmware", bytes(range(32))
        )
        self.has_sent = False

    def key_document(self) -> dict[str, Any]:
        return {
            "public_key": self.element.public_key.hex(),
            "site_id": self.site_id,
            "iot_device_id": self.device_id,
            "serial": self.element.serial.hex(),
            "valid_from": "2020-01-01T00:00:00Z",
            "simulated": True,
        }

    def meter_document(self) -> dict[str, Any]:
        return {
            "site_id": self.site_id,
            "iot_device_id": self.device_id,
            "meter_id": self.meter_id,
            "kid": [self.element.kid.hex()],
            "valid_from": "2020-01-01T00:00:00Z",
            "rated_power_kw": 20,
        }

    def peek(self, **changes: Any) -> Reading:  # noqa: ANN401 - values of any field
        """What the next reading would say, with some fields changed."""
        reading = self.last
        if self.has_sent:
            reading = replace(
                reading,
                seq=reading.seq + 1,
                time_s=reading.time_s + INTERVAL_S,
                import_mwh=reading.import_mwh + 100_000,
                prev=self.digest(reading),
            )
        return replace(reading, **changes)

    @staticmethod
    def digest(reading: Reading) -> bytes:
        return hashlib.sha256(encode_payload(reading)).digest()

    def next(self, **changes: Any) -> bytes:  # noqa: ANN401
        """The next reading, signed; the chain goes on from it."""
        self.last, self.has_sent = self.peek(**changes), True
        return self.element.sign(encode_payload(self.last))

    def odd(self, **changes: Any) -> bytes:  # noqa: ANN401
        """A reading in the next one's place with changed fields, signed; the chain does not go on from it."""
        return self.element.sign(encode_payload(self.peek(**changes)))
