import math
import time

import pytest

from npresnet.bench.timing import Stats, geometric_mean, median, rotated, time_calls


def test_a_round_ends_after_its_seconds_but_not_before_its_calls():
    calls = []

    def call() -> None:
        calls.append(1)
        time.sleep(0.002)

    start = time.perf_counter()
    times_ms = time_calls(call, seconds=0.0, min_calls=4, warm_up_calls=2)
    assert len(times_ms) == 4
    assert len(calls) == 6
    assert all(time_ms >= 2 for time_ms in times_ms)
    assert sum(times_ms) <= (time.perf_counter() - start) * 1e3


def test_stats_of_a_known_sample():
    stats = Stats.of([5.0, 1.0, 2.0, 4.0, 3.0])
    assert stats == Stats(
        median_ms=3.0, p25_ms=2.0, p75_ms=4.0, min_ms=1.0, max_ms=5.0, calls=5, p95_ms=pytest.approx(4.8)
    )
    assert stats.to_dict()["median_ms"] == 3.0


def test_median_between_two_values():
    assert median([4.0, 1.0]) == 2.5
    assert median([7.0]) == 7.0


def test_geometric_mean_cancels_opposite_ratios():
    assert geometric_mean([2.0, 0.5]) == pytest.approx(1.0)
    assert geometric_mean([1.0, 4.0]) == pytest.approx(2.0)
    assert math.isnan(geometric_mean([]))


def test_every_item_goes_first_in_turn():
    assert [rotated("abc", number) for number in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]
    assert rotated([], 3) == []
