from __future__ import annotations

import uuid

import pytest

from wattseal.log.ids import MAX_TIME_MS, new_ids

NOW_MS = 1_764_547_200_123


def test_they_are_uuids_of_version_7_with_the_time() -> None:
    for data in new_ids(NOW_MS, 100):
        value = uuid.UUID(bytes=data)
        assert (value.version, value.variant) == (7, uuid.RFC_4122)
        assert value.int >> 80 == NOW_MS


def test_all_other_bits_are_random() -> None:
    ones = zeros = 0
    for data in new_ids(NOW_MS, 1_000):
        value = int.from_bytes(data)
        ones |= value
        zeros |= ~value
    # A bit that was seen as 0 and as 1 is no constant: 74 of the lower 80.
    varying = ones & zeros & (1 << 80) - 1
    assert varying.bit_count() == 74
    assert varying & (0xF << 76 | 3 << 62) == 0


def test_none_repeats() -> None:
    ids = [entry_id for _ in range(100) for entry_id in new_ids(NOW_MS, 100)]
    assert len(set(ids)) == 10_000


def test_ids_of_later_times_come_later() -> None:
    times = [0, 1, NOW_MS, NOW_MS + 1, MAX_TIME_MS]
    ids = [new_ids(time, 1)[0] for time in times]
    assert ids == sorted(ids)


def test_how_many() -> None:
    assert new_ids(NOW_MS, 0) == []
    assert len(new_ids(NOW_MS, 3)) == 3


@pytest.mark.parametrize("time", [-1, MAX_TIME_MS + 1])
def test_a_time_that_does_not_fit(time: int) -> None:
    with pytest.raises(ValueError, match="48"):
        new_ids(time, 1)
