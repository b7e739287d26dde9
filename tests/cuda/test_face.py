"""An executable's face, the same as on the CPU: steps, layout, stopwatch, every step's result. See plan.Executable."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from npresnet import ops
from npresnet.cuda import executable as executables
from npresnet.errors import DeviceError, ShapeError
from npresnet.network import INPUT, Network
from tests.cuda.running import compiled, expected, images, small_network
from tests.emulator import emulator

pytestmark = emulator.needed


def test_steps_are_in_the_order_of_the_network(gpus):
    gpus()
    run = compiled(Network(small_network().nodes, {"logits": "fc", "pooled": "pool", "flat": "flat"}))
    steps = {step.name: step for step in run.steps((3, 8, 8), 2)}
    assert list(steps) == ["(images in)", "conv1", "conv2", "pool", "pool (results out)", "fc"]  # flatten moves nothing
    assert [len(step.tiles) for step in steps.values()] == [1] * 6
    assert steps["conv2"].flops == 2 * 2 * (4 * 4 * 8 * 8 * 9)
    assert steps["conv2"].size_bytes == 4 * (3 * 2 * 4 * 4 * 8 + 8 * 8 * 9)  # input, residual, output; filters
    assert steps["conv2"].algorithm.startswith("conv2d_registers")
    assert steps["pool"].algorithm == "max_pool2d_vector"
    for name, array in ops.run(run.network, images(2)).items():
        np.testing.assert_array_equal(run(images(2))[name], array)


def test_a_layout_needs_no_memory_and_values_alive_together_no_place_twice(gpus):
    stand_in = gpus()
    run = compiled(small_network())
    layout = run.layout((3, 8, 8), 3)
    assert stand_in.gpus[0].used == 0
    assert layout.network is run.network
    assert set(layout.values) == {INPUT, *(node.name for node in run.network)}
    assert layout.values["pool"].shape == (8, 2, 2)
    assert layout.values["pool"].size_bytes == 4 * 3 * 8 * 2 * 2
    assert layout.values[INPUT].size_bytes == 4 * 3 * 8 * 8 * 4  # three channels lie as four
    assert layout.values["flat"] == layout.values["pool"]._replace(shape=(32,))
    assert layout.values["fc"].offset_bytes == layout.result_offsets["fc"]
    assert layout.macs["conv1"] == 4 * 4 * 8 * 3 * 9
    values = [value for name, value in layout.values.items() if name != "flat"]
    for i, a in enumerate(values):
        assert 0 <= a.offset_bytes <= a.offset_bytes + a.size_bytes <= layout.arena_bytes
        assert not a.has_halo
        for b in values[:i]:
            apart = a.offset_bytes + a.size_bytes <= b.offset_bytes or b.offset_bytes + b.size_bytes <= a.offset_bytes
            assert apart or not a.lifetime.overlaps(b.lifetime)
    with pytest.raises(ShapeError, match="fc: expects 32 features"):
        run.layout((3, 16, 16))


def test_a_stopwatch_runs_every_step_once_a_chunk(gpus, monkeypatch):
    stand_in = gpus()
    monkeypatch.setattr(executables, "MOST_IMAGES", 3)
    run = compiled(small_network())
    watch = run.stopwatch(images(7))
    names = [step.name for step in run.steps((3, 8, 8), 3)]
    assert [step.name for step in watch.steps] == 2 * names
    assert watch.images == [3] * len(names) + [1] * len(names)
    once = [launch.kernel for step in watch.steps[: len(names)] for launch in step.tiles]
    last = [launch.kernel for step in watch.steps[len(names) :] for launch in step.tiles]
    stand_in.kernels.clear()
    assert watch.lap() == [2.0] * len(names) + [1.0] * len(names)  # every event of the stand-in is 1 ms apart
    assert stand_in.kernels == 4 * once + 2 * last  # a replay of the graph before each pass
    np.testing.assert_array_equal(run(images(7))["logits"], expected(images(7)))
    run.close()
    with pytest.raises(DeviceError, match="closed"):
        watch.lap()


def test_keeping_all_gives_every_step_s_result(gpus):
    stand_in = gpus()
    run = compiled(small_network())
    run(images(2))
    used = stand_in.gpus[0].used
    every = run.keeping_all()
    found = every(images(2))
    exact = ops.run(every.network, np.asarray(images(2), np.float64))
    assert list(found) == ["conv1", "conv2", "pool", "flat", "fc"]
    for name, array in found.items():
        np.testing.assert_array_equal(array, exact[name], err_msg=name)
    every.close()
    del every
    gc.collect()
    assert stand_in.gpus[0].used == used  # weights were shared
