"""The benchmark of baselines asks who is asked, and tells means over its seeds."""

from __future__ import annotations

import pytest

from benchmarks.baselines import METRICS, measure
from vip5core.baselines.identity import SasrecOptions
from vip5core.data.dataset import Dataset


@pytest.mark.slow
def test_both_baselines_are_measured_on_the_users_who_are_asked(shop_by_time: Dataset) -> None:
    found = {name: (asked, means) for name, asked, means in measure(shop_by_time, 2, SasrecOptions(width=8, epochs=1))}
    assert list(found) == ["popularity", "SASRec"]
    for asked, means in found.values():
        assert asked == len(shop_by_time.asked_users("test")) < shop_by_time.n_users
        assert len(means) == len(METRICS)
        assert all(0 <= mean <= 1 for mean in means)
        hits = 2 * asked * means[0]  # of two seeds
        assert hits == pytest.approx(round(hits))
