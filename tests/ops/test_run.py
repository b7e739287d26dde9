"""ops.run, the interpreter: against PyTorch, memory, error messages."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest

from npresnet import arch, ops
from npresnet.errors import ArchitectureError, ShapeError
from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.support import reference, torch_run
from tests.support.cases import conv_cases, integers, wide_conv_cases
from tests.support.checks import assert_same, check_fused_exact, check_pointwise_exact
from tests.support.random_networks import random_network
from tests.support.torch_ops import on_one_thread


def test_conv2d_with_bias_residual_and_relu():
    check_fused_exact(ops.run, conv_cases())
    check_fused_exact(ops.run, wide_conv_cases(), all_combinations=True)


def test_pointwise():
    check_pointwise_exact(ops.run)


def test_random_networks(subtests):
    for seed in range(60):
        with subtests.test(seed=seed):
            network, image = random_network(seed)
            x = integers(np.random.default_rng(seed), (2, *image))
            got, expected = ops.run(network, x.astype(np.float64)), torch_run.run(network, x)
            assert set(got) == set(expected)
            for name, array in expected.items():
                assert_same(got[name], array, name)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d"])
def test_equals_torchvision_in_float64(name):
    module, tensors = reference.torchvision_model(name, num_classes=20)
    network, _ = arch.build(tensors)
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 75))
    expected = on_one_thread(reference.run_double)(module, x)
    got = ops.run(network, x)["logits"]
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_every_value_has_the_images_dtype(dtype):
    network, _ = arch.build(arch.random_tensors("cifar_resnet20"))
    everything = Network(network.nodes, {node.name: node.name for node in network})
    results = ops.run(everything, np.zeros((1, 3, 8, 8), dtype))
    assert len(results) == len(network)
    assert {array.dtype for array in results.values()} == {np.dtype(dtype)}


def test_a_value_may_be_several_outputs_and_the_image_an_output():
    network = Network((Node("a", "relu", (INPUT,)),), {"one": "a", "two": "a", "image": INPUT})
    x = integers(np.random.default_rng(0), (2, 1, 3, 3))
    results = ops.run(network, x)
    assert_same(results["one"], np.maximum(x, 0))
    assert_same(results["two"], np.maximum(x, 0))
    assert_same(results["image"], x)


def test_values_are_freed_after_their_last_reader():
    names = [INPUT, *(f"n{i}" for i in range(50))]
    chain = tuple(Node(name, "relu", (source,)) for source, name in itertools.pairwise(names))
    x = np.ones((1, 1, 256, 1024), np.float32)  # 1 MiB
    tracemalloc.start()
    try:
        ops.run(Network(chain, {"last": "n49"}), x)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * x.nbytes


def test_unused_values_are_allowed():
    network = Network((Node("a", "relu", (INPUT,)), Node("b", "relu", (INPUT,))), {"b": "b"})
    assert list(ops.run(network, np.ones((1, 1, 2, 2)))) == ["b"]


def test_errors_name_the_layer_and_what_it_reads():
    weight = np.zeros((64, 64, 3, 3), np.float32)
    conv = Node("layer1.0.conv2", "conv2d", ("stem",), Window.of(3, 1, 1), params={"weight": weight})
    network = Network((Node("stem", "relu", (INPUT,)), conv), {"y": "layer1.0.conv2"})
    with pytest.raises(ShapeError) as caught:
        ops.run(network, np.zeros((1, 3, 56, 56), np.float32))
    assert str(caught.value).splitlines() == [
        "layer1.0.conv2 expects 64 input channels, got 3",
        "  input   (1, 3, 56, 56)   N, C, H, W",
        "  weight  (64, 64, 3, 3)   out_channels, in_channels/groups, kernel_height, kernel_width",
        "  Each filter reads in_channels/groups channels (groups = 1).",
        "  Its input is the output of stem.",
    ]


@pytest.mark.parametrize("shape", [(3, 8, 8), (8, 8), (1, 1, 3, 8, 8, 8)])
def test_the_batch_has_the_axes_of_images_or_clips(shape):
    with pytest.raises(ShapeError, match="N, C, H, W"):
        ops.run(Network((), {"x": INPUT}), np.zeros(shape))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.complex64, bool, object])
def test_the_image_batch_holds_floats(dtype):
    with pytest.raises(ShapeError, match="floats"):
        ops.run(Network((), {"x": INPUT}), np.zeros((1, 3, 8, 8), dtype))


def test_unknown_operations_and_missing_windows():
    x = np.zeros((1, 3, 8, 8))
    with pytest.raises(ArchitectureError, match="swish9"):
        ops.run(Network((Node("a", "swish9", (INPUT,)),), {"a": "a"}), x)
    for op in ("max_pool2d", "avg_pool2d", "conv2d"):
        node = Node("a", op, (INPUT,), params={"weight": np.zeros((1, 3, 3, 3))})
        with pytest.raises(ArchitectureError, match=r"a: a .* needs a window"):
            ops.run(Network((node,), {"a": "a"}), x)


def test_a_window_that_contradicts_the_weights_is_refused():
    node = Node("conv1", "conv2d", (INPUT,), Window.of(3), params={"weight": np.zeros((1, 3, 5, 5))})
    with pytest.raises(ShapeError, match=r"conv1 expects filters of size \(3, 3\)"):
        ops.run(Network((node,), {"y": "conv1"}), np.zeros((1, 3, 8, 8)))
    node = Node("pool", "avg_pool2d", (INPUT,), Window.of(2, dilation=2))
    with pytest.raises(ShapeError, match="pool does not support a dilated window"):
        ops.run(Network((node,), {"y": "pool"}), np.zeros((1, 3, 8, 8)))
