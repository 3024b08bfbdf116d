"""A newcomer's machine may lack a program; where the tests must be complete, its absence fails."""

from __future__ import annotations

from typing import NoReturn

import pytest

from tests.conftest import CI


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI."""
    if CI:
        pytest.fail(reason)
    pytest.skip(reason)
