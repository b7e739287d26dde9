from __future__ import annotations

import time

import numpy as np
import pytest

from npresnet import cuda
from npresnet.bench.gpu_timer import GRAPH_MS, HOPELESS, MOST_NODES, WARM_UP_S, GpuTimer, Racer, random_numbers
from npresnet.cuda import ELEMENTS
from npresnet.cuda.activation import RELU
from npresnet.cuda.elements import store
from npresnet.cuda.launchers import activation
from tests.emulator import emulator
from tests.emulator.cupy_machine import Machine
from tests.emulator.cupy_stand_in import CupyStandIn


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    stand_in = CupyStandIn(capability=80)
    stand_in.install(monkeypatch, tmp_path)
    yield cuda.open_gpu("cuda")
    stand_in.forget()
    stand_in.check()


def test_rounds_are_interleaved_and_their_median_is_told():
    order = []
    racers = [Racer(name, lambda repeats, name=name: order.append(name) or {"ours": 1.0, "theirs": 3.0}[name])
              for name in ("ours", "theirs")]  # fmt: skip
    timer = GpuTimer(gpu=None, stream=None, quick=True)
    times = timer.race(racers)
    assert times["theirs"] == {"ms": 3.0, "lowest_ms": 3.0, "highest_ms": 3.0}
    assert order[-6:] == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]


class Clock:
    """Stands for `Gpu.time_ms` and `capture`: a launch takes the host 10 us, a kernel 2 us in a graph."""

    HOST_MS, KERNEL_MS = 0.01, 0.002

    def __init__(self, monkeypatch):
        self.nodes = []
        monkeypatch.setattr(cuda.Gpu, "time_ms", self.time_ms)
        monkeypatch.setattr(cuda.Gpu, "capture", self.capture)

    def time_ms(self, calls, stream, repeats=1):
        nodes = self.nodes[-1] if self.nodes else 0  # of the graph that is replayed
        return max(self.HOST_MS * len(calls), self.KERNEL_MS * (nodes or len(calls)))

    def capture(self, calls, stream):
        self.nodes.append(len(calls))


@emulator.needed
def test_a_small_kernel_s_time_is_that_of_a_graph_of_many_and_not_of_its_launches(gpu, monkeypatch):
    buffer, clock = gpu.allocate(64, "numbers"), Clock(monkeypatch)
    calls = gpu.bind(activation.launches(16, ELEMENTS["float32"], RELU, x=buffer.address, y=buffer.address))
    timer = GpuTimer(gpu, gpu.stream())
    assert timer.once_ms(calls) == clock.HOST_MS
    racer = timer.replayed("relu", calls)
    assert clock.nodes == [round(GRAPH_MS / clock.HOST_MS)]
    assert racer.time_ms(1) == pytest.approx(clock.KERNEL_MS)
    assert timer.replayed("relu", calls * MOST_NODES).time_ms(1) > 0
    assert clock.nodes[-1] == MOST_NODES  # one copy
    assert timer.replayed("relu", calls, copies=3).time_ms(1) > 0
    assert clock.nodes[-1] == 3


@emulator.needed
def test_a_graph_is_replayed_on_the_timer_s_stream(gpu):
    buffer = gpu.allocate(64, "numbers")
    calls = gpu.bind(activation.launches(16, ELEMENTS["float32"], RELU, x=buffer.address, y=buffer.address))
    racer = GpuTimer(gpu, gpu.stream()).replayed("relu", calls, copies=3)
    ran = Machine.active.kernels
    ran.clear()
    racer.time_ms(5)
    assert len(ran) == 6  # two replays


def test_only_the_hopeless_are_left_at_one_run(monkeypatch):
    timer = GpuTimer(gpu=None, stream=None)
    times = {"fast": 1.0, "near": HOPELESS, "slow": HOPELESS + 0.1}
    monkeypatch.setattr(GpuTimer, "once_ms", lambda timer, calls: times[calls])
    assert timer.sift({name: name for name in times}) == (times, ["fast", "near"])


def test_the_first_contender_is_not_hopeless_because_the_gpu_was_idle(monkeypatch):
    start_s = []

    def once_ms(timer, calls):
        start_s.append(time.perf_counter())
        return calls * (HOPELESS + 1 if start_s[-1] - start_s[0] < 0.6 * WARM_UP_S else 1)

    monkeypatch.setattr(GpuTimer, "once_ms", once_ms)
    timer, contenders = GpuTimer(gpu=None, stream=None), {"best": 1.0, "next": 1.1}
    assert timer.sift(contenders) == (contenders, ["best", "next"])
    assert timer.sift({}) == ({}, [])


@emulator.needed
@pytest.mark.parametrize("count", [5, (1 << 20) + 12_345])
def test_random_numbers_fill_the_whole_buffer(gpu, count):
    element, stream = ELEMENTS["float16"], gpu.stream()
    buffer, found = random_numbers(gpu, stream, count, element), np.empty(count, np.float16)
    gpu.download(found, buffer.address, stream)
    stream.synchronize()
    some = store(np.random.default_rng(0).standard_normal(1 << 20, dtype=np.float32), element)
    np.testing.assert_array_equal(found, np.resize(some, count))
