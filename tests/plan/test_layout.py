"""Lifetimes, halos, shapes and multiply-adds of whole networks."""

import numpy as np
import pytest

from npresnet import arch, cpu, passes, plan
from npresnet.errors import ShapeError
from npresnet.network import INPUT, Network, Node
from npresnet.plan.layout import widest
from npresnet.plan.lifetimes import Lifetime, value_lifetimes
from npresnet.window import Window

GMACS = {
    "resnet18": 1.814,
    "resnet50": 4.089,
    "resnext50_32x4d": 4.230,
    "wide_resnet50_2": 11.398,
}  # torchvision's


def network_of(name: str) -> Network:
    return passes.optimize(arch.build(arch.random_tensors(name))[0])


@pytest.mark.parametrize("name", GMACS)
def test_multiply_adds_are_torchvisions(name):
    layout = plan.make_layout(network_of(name), (3, 224, 224))
    assert round(sum(layout.macs.values()) / 1e9, 3) == GMACS[name]


def test_resnet50_has_56_steps_that_compute():
    nodes = [node for node in network_of("resnet50") if node.op != "flatten"]
    assert len(nodes) == 56


def test_lifetimes_reach_from_producer_to_last_reader():
    network = Network(
        (
            Node("a", "relu", (INPUT,)),
            Node("b", "relu", ("a",)),
            Node("c", "add", ("b", "a")),
            Node("unread", "relu", ("c",)),
            Node("d", "relu", ("c",)),
        ),
        {"out": "d", "also": "b"},
    )
    assert value_lifetimes(network) == {
        INPUT: Lifetime(-1, 0),
        "a": Lifetime(0, 2),
        "b": Lifetime(1, 5),
        "c": Lifetime(2, 4),
        "unread": Lifetime(3, 3),
        "d": Lifetime(4, 5),
    }


def test_the_halo_is_the_maximum_padding_of_the_readers():
    weight = np.zeros((1, 1, 3, 5), np.float32)
    wide = np.zeros((1, 1, 7, 1), np.float32)
    network = Network(
        (
            Node("a", "conv2d", (INPUT,), Window.of((3, 5), padding=(1, 2)), params={"weight": weight}),
            Node("b", "conv2d", (INPUT,), Window.of((7, 1), padding=(3, 0)), params={"weight": wide}),
            Node("c", "add", ("a", "b")),
        ),
        {"out": "c"},
    )
    halos = widest(((1, 1), (2, 2)), ((3, 3), (0, 0)))
    layout = plan.make_layout(network, (1, 9, 8), {INPUT: halos})
    compiled = cpu.compile(network).layout((1, 9, 8))
    assert layout.values[INPUT].halo == compiled.values[INPUT].halo
    assert layout.values[INPUT].halo == ((3, 3), (2, 2))
    assert layout.values[INPUT].storage_shape == (1, 15, 12, 1)
    assert not layout.values["c"].has_halo


def test_memory_of_a_resnet50_is_far_less_than_the_sum_of_its_values():
    layout = plan.make_layout(network_of("resnet50"), (3, 224, 224))
    assert layout.arena_bytes < sum(value.size_bytes for value in layout.values.values()) / 3


def test_an_image_that_is_too_small_names_the_layer():
    weight = np.zeros((1, 1, 3, 3), np.float32)
    network = Network((Node("conv9", "conv2d", (INPUT,), Window.of(3), params={"weight": weight}),), {"out": "conv9"})
    with pytest.raises(ShapeError, match=r"conv9: .*\(2, 2\)"):
        plan.make_layout(network, (1, 2, 2))


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (Node("n", "conv2d", (INPUT,), Window.of(3), params={"weight": zeros(4, 2, 5, 5)}), r"size \(3, 3\), got"),
        (Node("n", "conv2d", (INPUT,), Window.of(3), params={"weight": zeros(4, 2, 3, 3), "bias": zeros(1)}), "bias"),
        (Node("n", "conv2d", (INPUT, INPUT), Window.of(3), params={"weight": zeros(2, 2, 3, 3)}), r"\(2, 7, 7\) and"),
        (Node("n", "max_pool2d", (INPUT,), Window.of(2, padding=2)), "at most half the kernel_size"),
        (Node("n", "avg_pool2d", (INPUT,), Window.of((4, 2), padding=(2, 2))), "at most half the kernel_size"),
        (Node("n", "avg_pool2d", (INPUT,), Window.of(2, dilation=2)), "dilated"),
        (Node("n", "batch_norm", (INPUT,), params={"running_mean": zeros(3)}), r"3 channels, got \(2, 9, 9\)"),
        (Node("n", "linear", (INPUT,), params={"weight": zeros(5, 162)}), r"162 features, got \(2, 9, 9\)"),
    ],
    ids=["filters", "bias", "residual", "max pool", "avg pool", "dilation", "batch norm", "linear"],
)
def test_inconsistent_nodes_are_refused_by_name(node, message):
    with pytest.raises(ShapeError, match=f"n: .*{message}"):
        plan.make_layout(Network((node,), {"y": "n"}), (2, 9, 9))


def test_wrong_channels_show_both_shapes():
    with pytest.raises(
        ShapeError, match=r"conv1: expects 3 input channels, got 4\n.*\(4, 64, 64\).*\n.*\(64, 3, 7, 7\)"
    ):
        plan.make_layout(network_of("resnet18"), (4, 64, 64))
