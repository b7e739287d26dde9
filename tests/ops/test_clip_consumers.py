"""Every consumer of the records, on a network with every operation over clips."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import cpu, ops, passes
from npresnet.bench import onnx_file, torch_graph
from npresnet.bench.layers import shapes_in_words
from npresnet.errors import ShapeError
from npresnet.network import INPUT, Network, Node
from npresnet.ops.registry import ACTIVATIONS, OPERATIONS, operation_of
from npresnet.plan import infer_shapes
from npresnet.teach.explain.receptive_field import jump
from npresnet.views.summary import summary
from npresnet.window import Window
from tests.support.any_node import CASES, CLIP_OPERATIONS
from tests.support.clips import small_clip_network

CLIP = (3, 4, 11, 10)


def clip(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, *CLIP)).astype(np.float32)


def only(network: Network, output: str) -> Network:
    return Network(network.nodes, {output: network.outputs[output]})


def test_the_network_has_every_operation_over_clips():
    assert set(CLIP_OPERATIONS) <= {node.op for node in small_clip_network()}
    assert set(CLIP_OPERATIONS) == {name for name in OPERATIONS if "3d" in name}


def test_the_passes_keep_what_it_computes():
    network = small_clip_network()
    made = passes.optimize(network)
    assert [node.op for node in made].count("batch_norm") == 1  # behind a pool
    assert len(made["conv2"].inputs) == 2
    assert made["conv2"].activation == "relu"
    before, after = (ops.run(net, clip().astype(np.float64)) for net in (network, made))
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-6, atol=1e-6)  # weights are rounded once


def test_summary_names_the_modules_of_clips():
    table = summary(small_clip_network(), CLIP, 2)
    rows = [line.split("-")[0].strip() for line in table.split("=" * 64)[1].strip().splitlines()]
    assert rows[:4] == ["Conv3d", "BatchNorm3d", "MaxPool3d", "AvgPool3d"]
    assert "AdaptiveAvgPool3d" in rows
    assert "[2, 8, 4, 6, 5]" in table


def test_words_and_strides():
    network = small_clip_network()
    words = shapes_in_words(network, infer_shapes(network, CLIP))
    assert words["conv1"].startswith("3-D convolution")
    for node in network:
        assert all(
            window is None or len(window.stride) == 3
            for window in (operation_of(node).sees(node, 0, (8, 4, 6, 5)),)
            if node.op not in ("linear", "flatten")
        )
    assert jump(network, "add", infer_shapes(network, CLIP)) == (4, 4)


def test_pytorch_computes_it():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    network = small_clip_network()
    right = ops.run(network, clip().astype(np.float64))
    for name in network.outputs:
        with torch.no_grad():
            found = torch_graph.build(only(network, name)).double()(torch.from_numpy(clip()).double()).numpy()
            every = torch_graph.run(network, torch.from_numpy(clip()).double())
        np.testing.assert_allclose(found, right[name], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(every[network.outputs[name]].numpy(), right[name], rtol=1e-9, atol=1e-9)


def test_onnx_runtime_computes_it(tmp_path):
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    network = only(small_clip_network(), "logits")
    path = tmp_path / "clips.onnx"
    onnx_file.write(network, path, channels=3, size=CLIP[1:])
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {"input": clip()})[0]
    right = ops.run(network, clip().astype(np.float64))["logits"]
    np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-5)


FRAMES_APART = ("add", "batch_norm", "flatten", "global_avg_pool", "shortcut_a", *ACTIVATIONS)


@pytest.mark.parametrize("op", OPERATIONS)
def test_an_operation_takes_clips_or_refuses_them(op):
    """Also those that combine two clips: never some of the frames, or other channels."""
    node, inputs = CASES[op]()[-1], max(1, OPERATIONS[op].inputs[0])
    taps = np.random.default_rng(0).integers(-2, 3, (4, 4, 1, 1, 1)).astype(np.float32)
    first = Node("first", "conv3d", (INPUT,), Window.of(1, axes=3), params={"weight": taps})
    network = Network((first, node.evolve(inputs=("first", INPUT)[:inputs])), {"y": "y"})
    if op not in FRAMES_APART + CLIP_OPERATIONS:
        with pytest.raises(ShapeError, match=r"y: .*got"):
            infer_shapes(network, (4, 5, 6, 7))
        return
    x = np.random.default_rng(1).integers(-3, 4, (2, 4, 5, 6, 7)).astype(np.float32)
    got = cpu.compile(network, threads=1, winograd=False)(x)["y"]
    np.testing.assert_allclose(got, ops.run(network, x.astype(np.float64))["y"], rtol=1e-5, atol=1e-5)
