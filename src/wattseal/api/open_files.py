"""How many files this process may have open, and so how many connections."""

from __future__ import annotations

import resource
from typing import Final

ACCEPTED_AT_ONCE: Final = 64
"""Connections that are taken from the system in one turn of the event loop."""
_TURNS: Final = 4
"""Turns from taking a connection to closing one for which there is no room."""
_OWN: Final = 256
"""For the database's readers, logs, the guard and what libraries open."""
_OWN_PER_WORKER: Final = 8
_FEWEST: Final = 16


def make_room(connections: int, workers: int) -> int:
    """Raise this process's limit of open files to what so many connections need; how many there may be.

    Fewer than asked for where the system's hard limit is lower. OSError where it leaves no room for any.
    """
    others = ACCEPTED_AT_ONCE * _TURNS + _OWN + _OWN_PER_WORKER * workers
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + others
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    if limit - others < _FEWEST:
        raise OSError(
            f"this process may open {limit} files, and needs at least {others + _FEWEST}: "
            "raise the limit (`ulimit -n`, LimitNOFILE=)"
        )
    return min(connections, limit - others)
