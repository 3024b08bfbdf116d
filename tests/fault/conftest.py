"""Where the random moments of these tests come from."""

from __future__ import annotations

import os
import secrets
import sys

import pytest


@pytest.fixture
def seed() -> str:
    """Printed with a failure; given again in WATTSEAL_SEED, the same moments come again, as far as the machine is."""
    chosen = os.environ.get("WATTSEAL_SEED") or secrets.token_hex(4)
    sys.stdout.write(f"WATTSEAL_SEED={chosen}\n")
    return chosen
