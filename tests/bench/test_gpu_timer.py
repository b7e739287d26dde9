from __future__ import annotations

from npresnet.bench.gpu_timer import GpuTimer, Racer


def test_rounds_are_interleaved_and_their_median_is_told():
    order = []
    racers = [Racer(name, lambda repeats, name=name: order.append(name) or {"ours": 1.0, "theirs": 3.0}[name])
              for name in ("ours", "theirs")]  # fmt: skip
    timer = GpuTimer(gpu=None, stream=None, quick=True)
    times = timer.race(racers)
    assert times["theirs"] == {"ms": 3.0, "lowest_ms": 3.0, "highest_ms": 3.0}
    assert order[-6:] == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
