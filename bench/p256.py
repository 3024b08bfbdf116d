"""How many P-256 signatures this machine verifies: the budget of everything that admits readings.

Other benchmarks give their rates as ratios to `openssl_rate()` of the same run, so that figures of two machines, or of
one machine on a noisy day, can be compared.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

CORES = 2
SECONDS = 2
MESSAGE = bytes(200)  # about a reading


def openssl_rate(seconds: int = SECONDS) -> float:
    """Verifications per second of `openssl speed` on two cores."""
    command = ["openssl", "speed", "-seconds", str(seconds), "-multi", str(CORES), "ecdsap256"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"ecdsa \(nistp256\).*?([0-9.]+)\s*$", printed, re.MULTILINE)
    return float(found[-1])


def _pyca_worker(seconds: int) -> float:
    key = ec.generate_private_key(ec.SECP256R1())
    public, algorithm = key.public_key(), ec.ECDSA(SHA256())
    signature = key.sign(MESSAGE, algorithm)
    start, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds:
        for _ in range(100):
            public.verify(signature, MESSAGE, algorithm)
        count += 100
    return count / spent


def pyca_rate(seconds: int = SECONDS) -> float:
    """Verifications per second of the Python library in two processes."""
    with ProcessPoolExecutor(CORES, mp_context=get_context("spawn")) as pool:
        return sum(pool.map(_pyca_worker, [seconds] * CORES))


def run() -> Iterator[str]:
    """Measure both for two seconds."""
    openssl = openssl_rate()
    yield f"openssl speed -multi {CORES} ecdsap256   {openssl:9,.0f} verify/s   1.00"
    pyca = pyca_rate()
    yield f"pyca/cryptography, {CORES} processes     {pyca:9,.0f} verify/s   {pyca / openssl:.2f}"
