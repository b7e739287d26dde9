"""A squeeze-and-excitation block: sigmoid and multiply reach every view and page without a word about them there."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import ops
from npresnet.network import INPUT, Network, Node
from npresnet.teach import explain, trace
from npresnet.teach.ladder import climb, find_layer
from npresnet.teach.ladder.rungs import cpu_rungs
from npresnet.window import Window
from tests.cuda.conftest import gpus
from tests.emulator import emulator
from tests.support.models import model_running
from tests.support.small import picture

__all__ = ["gpus"]
SIZE = 16
rng = np.random.default_rng(7)


def conv(name: str, source: str, channels: tuple[int, int], kernel_size: int = 1) -> Node:
    out_channels, in_channels = channels
    weight = rng.normal(0, 0.3, (out_channels, in_channels, kernel_size, kernel_size)).astype(np.float32)
    params = {"weight": weight, "bias": rng.normal(0, 0.1, out_channels).astype(np.float32)}
    return Node(name, "conv2d", (source,), Window.of(kernel_size, padding=kernel_size // 2), params=params)


NETWORK = Network(
    (
        conv("conv1", INPUT, (8, 3), 3),
        Node("relu", "relu", ("conv1",)),
        conv("conv2", "relu", (8, 8), 3),
        Node("se.pool", "global_avg_pool", ("conv2",)),
        conv("se.fc1", "se.pool", (4, 8)),
        Node("se.relu", "relu", ("se.fc1",)),
        conv("se.fc2", "se.relu", (8, 4)),
        Node("se.gate", "sigmoid", ("se.fc2",)),
        Node("se.scale", "multiply", ("conv2", "se.gate")),
        Node("add", "add", ("se.scale", "relu")),
        Node("out", "relu", ("add",)),
    ),
    {"out": "out"},
)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=emulator.needed)])
def model(request, gpus):
    if request.param == "cuda":
        gpus(capability=80)
    made = model_running(NETWORK, SIZE, device=request.param, threads=1)
    yield made
    made.close()


def test_features_are_the_specification_s(model):
    x = np.random.default_rng(0).standard_normal((3, 3, SIZE, SIZE)).astype(np.float32)
    names = ["se.gate", "se.scale", "out"]
    exact = ops.run(NETWORK.with_outputs(names), x.astype(np.float64))
    for name, array in model.features(x, names).items():
        np.testing.assert_allclose(array, exact[name], rtol=0, atol=2e-6 * np.abs(exact[name]).max())
    assert ((exact["se.gate"] > 0) & (exact["se.gate"] < 1)).all()


def test_the_gate_is_fused_and_the_product_takes_the_sum_s_place(model):
    steps = {node.name: node for node in model.executable().network}
    assert steps["se.fc2"].activation == "sigmoid"
    assert "se.gate" not in steps
    assert steps["se.scale"].op == "multiply"


def test_summary_shows_the_module_sigmoid_has_and_none_for_multiply(model):
    table = model.summary((3, SIZE, SIZE))
    assert "Sigmoid-8" in table
    assert "ultiply" not in table


def test_trace_explain_and_ladder_show_them(model):
    found = trace.gather(model, picture(1))
    assert found.ops_before["sigmoid"] == found.ops_before["multiply"] == 1
    (scale,) = [step for step in found.steps if step.name == "se.scale"]
    assert (scale.op, scale.reads) == ("multiply", ["conv2", "se.fc2", "conv1"])  # the shortcut last
    assert (found.labels["sigmoid"], found.labels["multiply"]) == ("Sigmoid", "multiply")
    explained = explain.gather(model, picture(1), "se.fc2")
    assert explained.activation == "sigmoid"
    assert 0 < explained.step_output < 1
    layer = find_layer(model, "se.fc2", model.preprocess(picture(1)))
    ladder = climb(layer, model="a test", image="a picture", rungs=cpu_rungs(), seconds=0.0)
    assert {step.status for step in ladder.steps} == {"equal"}
