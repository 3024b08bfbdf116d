"""Makes vectors/emlog.json; `python -m tests.core.make_vectors` writes it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from tests.core import make_bad_record_vectors, make_reported_vectors
from tests.core.make_number_vectors import numbers
from tests.core.record_samples import samples
from wattseal.core.emlog import Record, body, check


def _written(name: str, spec: str, record: Record) -> dict[str, Any]:
    check(record)
    data = body(record)
    return {
        "name": name,
        "spec": spec,
        "fields": asdict(record),
        "computed": {
            "interval_s": record.interval_s,
            "power_mw": record.power_mw,
            "amount_msat": record.amount_msat,
        },
        "body": data.decode(),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def vectors() -> dict[str, Any]:
    """The whole file."""
    return {
        "format": "wattseal-vectors-emlog-1",
        "specification": "docs/spec/emlog.md",
        "records": [_written(*case) for case in samples()],
        "invalid": make_bad_record_vectors.refusals(),
        "reported": make_reported_vectors.reported(),
        "reported_invalid": make_reported_vectors.refusals(),
        "numbers": numbers(),
    }
