"""Split convolutions in whole networks: the counters of their tiles outlive arenas, graphs and refusals."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from npresnet import DeviceError, ops, passes
from npresnet.cuda.launchers.split_k import TICKETS_BYTES
from npresnet.cuda.runtime import programs, tickets
from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.cuda.running import compiled
from tests.emulator import emulator
from tests.support.cases import integers

pytestmark = emulator.needed


def network(channels: int = 64) -> Network:
    """Two convolutions whose K is split at batch 1, the second with a residual; whole numbers, exact to the bit."""
    rng = np.random.default_rng(0)
    weights = [{"weight": integers(rng, (channels, channels, 3, 3), most=1)} for _ in range(2)]
    nodes = (
        Node("one", "conv2d", (INPUT,), Window.of(3, 1, 1), params=weights[0], activation="relu"),
        Node("two", "conv2d", ("one",), Window.of(3, 1, 1), params=weights[1]),
        Node("sum", "add", ("two", "one"), activation="relu"),
    )
    return passes.optimize(Network(nodes, {"y": "sum"}))


def images(count: int, seed: int) -> np.ndarray:
    """Mostly zeros, so that sums stay what float16 holds."""
    rng = np.random.default_rng(seed)
    return integers(rng, (count, 64, 6, 5), most=1) * (rng.random((count, 64, 6, 5)) < 0.05)


def check(run, count: int, seed: int) -> None:
    x = images(count, seed).astype(np.float32)
    right = ops.run(network(), x.astype(np.float64))["y"]
    assert np.abs(right).max() <= 2048, "float16 has no more whole numbers"
    np.testing.assert_array_equal(run(x)["y"], right.astype(np.float32))


def splits(run, count: int = 1) -> list[str]:
    launches = [launch for step in run.steps((64, 6, 5), count) for launch in step.tiles]
    return [launch.kernel for launch in launches if launch.kernel.endswith("_split")]


@pytest.mark.parametrize("dtype", ["float16", "tf32", "float32"])
def test_replays_and_other_programs_in_between(gpus, dtype):
    """Programs share one arena, and each puts its values where the other's sums were."""
    gpus(capability=80)
    run = compiled(network(), dtype)
    for seed, count in enumerate((1, 1, 3, 1, 2, 1)):
        check(run, count, seed)
    assert len(splits(run)) == 2


def test_after_a_refusal_in_the_middle_of_a_run(gpus):
    stand_in = gpus(capability=80)
    run = compiled(network(), "float16")
    for after in range(4):
        stand_in.failures.plan("launch", 701, after)
        with pytest.raises(DeviceError, match="LAUNCH_OUT_OF_RESOURCES"):
            run(images(after + 1, 0).astype(np.float32))
        check(run, after + 1, after)


def test_executables_that_run_at_the_same_time(gpus):
    gpus(capability=80)
    runs = [compiled(network(), "float16") for _ in range(2)]
    addresses = {step.tiles[0].args[6] for run in runs for step in run.steps((64, 6, 5), 1) if step.name == "one"}
    assert len(addresses) == 2, "they have counters of their own"
    threads = [threading.Thread(target=check, args=(run, 1, seed)) for seed, run in enumerate(runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for run in runs:
        check(run, 1, 5)


def test_counters_that_are_not_zeroed_are_noticed(gpus, monkeypatch):
    gpus(capability=80)
    monkeypatch.setattr(programs, "new_tickets", lambda gpu, stream: gpu.allocate(TICKETS_BYTES, "counters"))
    run = compiled(network(), "float16")
    with pytest.raises(AssertionError):
        check(run, 1, 0)


def test_new_counters_are_zero(gpus):
    stand_in = gpus()
    run = compiled(network())
    buffer = tickets.new_tickets(run.gpu, run.gpu.stream())
    assert not buffer.owner.bytes.any()
    assert buffer.size_bytes == TICKETS_BYTES
    stand_in.check()
