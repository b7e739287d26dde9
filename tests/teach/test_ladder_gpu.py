"""The GPU's rungs, on the emulator: proved equal like all others. No time is taken there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import npresnet
from npresnet.teach.ladder import climb, find_layer
from npresnet.teach.ladder.gpu_rungs import ceilings, gpu_rungs
from npresnet.teach.ladder.rungs import Ceiling
from tests.cuda.conftest import gpus
from tests.emulator import emulator

__all__ = ["gpus"]
pytestmark = emulator.needed
LIMITS = {"float32": Ceiling(0.0, 0.0), "float16": Ceiling(0.0, 0.0)}
ALL = ["direct", "im2col", "tiled", "registers", "mma", "wgmma", "wgmma_tma"]


@pytest.fixture(scope="module")
def layers():
    with npresnet.build("resnet18", num_classes=3) as model:
        x = np.random.default_rng(0).standard_normal((1, 3, 24, 20), dtype=np.float32)
        return {name: find_layer(model, name, x) for name in ("layer1.0.conv2", "layer2.0.conv1")}


@pytest.mark.parametrize(("capability", "names"), [(90, ALL), (75, ALL[:5])])
def test_every_kernel_is_proved_equal(gpus, layers, capability, names):
    gpus(capability=capability)
    gpu = npresnet.cuda.open_gpu("cuda")
    for layer in list(layers.values())[: 2 if capability == 90 else 1]:
        rungs = gpu_rungs(gpu, layer, LIMITS)
        assert [rung.name for rung in rungs] == names
        steps = climb(layer, model="", image="", rungs=[rung._replace(clock=lambda _: 1.0) for rung in rungs]).steps
        assert [step.status for step in steps] == ["equal"] * len(names)
        assert {step.device for step in steps} == {gpu.name}
        assert all(step.lines > 20 and step.of_peak is None for step in steps)


def test_any_activation_follows_the_kernel(gpus, layers):
    gpus(capability=90)
    layer = layers["layer1.0.conv2"]
    layer = replace(layer, node=layer.node.evolve(activation="silu"))
    rungs = [rung._replace(clock=lambda _: 1.0) for rung in gpu_rungs(npresnet.cuda.open_gpu("cuda"), layer, LIMITS)]
    some = [rung for rung in rungs if rung.name in ("registers", "mma")]  # one in each precision
    assert [step.status for step in climb(layer, model="", image="", rungs=some).steps] == ["equal"] * 2
    bare = replace(layer, node=layer.node.evolve(activation=None))
    forgotten = some[0]._replace(prepare=lambda _: some[0].prepare(bare))
    (step,) = climb(layer, model="", image="", rungs=[forgotten]).steps
    assert step.status.startswith("not equal")


def test_a_kernel_that_rounds_too_much_shows_no_time(gpus, layers):
    gpus(capability=90)
    rungs = gpu_rungs(npresnet.cuda.open_gpu("cuda"), layers["layer1.0.conv2"], LIMITS)
    (mma,) = (rung for rung in rungs if rung.name == "mma")
    strict = mma._replace(rounding=0.0, clock=lambda _: 1.0)  # as if half precision were float32
    (step,) = climb(layers["layer1.0.conv2"], model="", image="", rungs=[strict]).steps
    assert (step.status.startswith("not equal"), step.ms) == (True, None)


def test_ceilings_are_asked_for_each_precision_and_none_is_made_up(gpus):
    """The emulator takes no times, so there is nothing to compare with; the way there is the one that a GPU goes."""
    gpus(capability=90)
    found = ceilings(npresnet.cuda.open_gpu("cuda"), emulated=True)
    assert found == LIMITS
