"""The demonstration's meters: main meters are the sum of what stands behind them, and no key is a real one."""

from __future__ import annotations

from wattseal.core.registry import METER_ROLES
from wattseal.core.units import identifier
from wattseal.demo.sites import demo_sites

NOON = 1_795_348_800


def test_five_sites_with_a_few_meters() -> None:
    sites = demo_sites()
    assert [site.site_id for site in sites] == ["factory", "datacentre", "microgrid", "ev-depot", "robot-fleet"]
    for site in sites:
        assert 3 <= len(site.rows) <= 6
        assert site.price_msat > 0
        for row in site.rows:
            assert identifier(f"{row.device_id}.{row.meter_id}", "names")
            assert row.role in METER_ROLES
            assert row.name[0].isupper()


def test_keys_differ_and_say_that_they_are_simulated() -> None:
    meters = [meter for site in demo_sites() for meter in site.fleet(NOON, "seed")]
    assert len({meter.element.kid for meter in meters}) == len(meters)
    assert all(meter.device_key(NOON).simulated for meter in meters)


def test_a_main_meter_counts_what_stands_behind_it() -> None:
    for site in demo_sites():
        mains = [row for row in site.rows if row.role == "main"]
        subs = [row for row in site.rows if row.role == "sub"]
        if len(mains) != 1 or not subs:
            continue
        for time_s in range(NOON, NOON + 86_400, 3_600):
            behind = sum(row.shape.import_mw(time_s) for row in subs)
            # The rest is the base load that nobody meters.
            assert behind < mains[0].shape.import_mw(time_s) < behind + 15_000_000


def test_no_meter_exceeds_its_rating() -> None:
    for site in demo_sites():
        for row in site.rows:
            for time_s in range(NOON, NOON + 7 * 86_400, 900):
                assert row.shape.import_mw(time_s) <= row.rated_kw * 1_000_000, row.name
                assert row.shape.export_mw(time_s) <= row.rated_kw * 1_000_000, row.name
