"""Timing: repeat a call, and summarise the times robustly against outliers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

T = TypeVar("T")


def time_calls(
    call: Callable[[], object], *, seconds: float, min_calls: int = 3, warm_up_calls: int = 1
) -> list[float]:
    """Milliseconds of each call, for about `seconds` and at least `min_calls`, after some that are not counted."""
    for _ in range(warm_up_calls):
        call()
    times_ms: list[float] = []
    deadline = time.perf_counter() + seconds
    while len(times_ms) < min_calls or time.perf_counter() < deadline:
        start_ns = time.perf_counter_ns()
        call()
        times_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
    return times_ms


@dataclass(frozen=True)
class Stats:
    """Summary of times: the median, the middle half, the extremes, and what one call in twenty exceeds."""

    median_ms: float
    p25_ms: float
    p75_ms: float
    min_ms: float
    max_ms: float
    calls: int
    p95_ms: float

    @classmethod
    def of(cls, times_ms: Iterable[float]) -> Stats:
        """Stats of at least one time."""
        ordered = sorted(times_ms)
        middle, low, high, late = (quantile(ordered, share) for share in (0.5, 0.25, 0.75, 0.95))
        return cls(middle, low, high, ordered[0], ordered[-1], len(ordered), late)

    def to_dict(self) -> dict[str, float]:
        """Plain numbers, rounded to a tenth of a microsecond."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def rotated(items: Sequence[T], number: int) -> list[T]:
    """The items rotated by `number` places, so that each round starts with another one."""
    start = number % len(items) if items else 0
    return [*items[start:], *items[:start]]


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted values lie, interpolated between neighbours."""
    place = share * (len(ordered) - 1)
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median(values: Iterable[float]) -> float:
    """The middle value."""
    return quantile(sorted(values), 0.5)


def geometric_mean(values: Iterable[float]) -> float:
    """exp(mean(log v)): the mean for ratios, in which 2 and 1/2 cancel. NaN for none."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan
