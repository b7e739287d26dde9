"""Builder: each method's node, the tensors it requests, and the channels it tracks."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet.arch.builder import Builder
from npresnet.arch.initialiser import Initialiser
from npresnet.arch.source import he_fan_in
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT
from npresnet.window import Window

THREE = Window.of(3, padding=1)


@pytest.fixture
def builder():
    return Builder(Initialiser(0), in_channels=6)


def test_a_convolution_requests_its_full_shape(builder):
    window = Window.of((3, 5), stride=2)
    name = builder.conv("a", INPUT, 8, window, groups=2)
    assert (name, builder.channels["a"]) == ("a", 8)
    assert {key: array.shape for key, array in builder.source.tensors.items()} == {"a.weight": (8, 3, 3, 5)}
    (node,) = builder.network({"a": "a"})
    assert (node.op, node.inputs, node.window, node.groups) == ("conv2d", (INPUT,), window, 2)


@pytest.mark.parametrize(("out_channels", "groups"), [(8, 4), (9, 2)])
def test_groups_divide_the_channels_on_either_side(builder, out_channels, groups):
    with pytest.raises(ArchitectureError, match=rf"(?s)a cannot have {groups} groups.*\(N, 6, H, W\)"):
        builder.conv("a", INPUT, out_channels, THREE, groups=groups)


def test_a_norm_requests_one_number_a_channel(builder):
    builder.batch_norm("n", builder.conv("a", INPUT, 4, THREE), eps=1e-3)
    made = {key: array.shape for key, array in builder.source.tensors.items() if key.startswith("n.")}
    vectors = dict.fromkeys(("n.weight", "n.bias", "n.running_mean", "n.running_var"), (4,))
    assert made == {**vectors, "n.num_batches_tracked": ()}
    assert builder.network({"n": "n"})["n"].attrs["eps"] == 1e-3


def test_a_linear_layer(builder):
    pooled = builder.flatten("f", builder.global_avg_pool("p", INPUT))
    builder.linear("l", pooled, 10)
    assert {key: array.shape for key, array in builder.source.tensors.items()} == {"l.weight": (10, 6), "l.bias": (10,)}
    assert builder.channels["l"] == 10


def test_branches_of_a_sum_have_the_same_channels(builder):
    a, b = builder.conv("a", INPUT, 4, THREE), builder.conv("b", INPUT, 5, THREE)
    assert builder.channels[builder.add("sum", a, builder.relu("r", a))] == 4
    with pytest.raises(ArchitectureError, match=r"(?s)s cannot add.*\(N, 4, H, W\)   from a.*\(N, 5, H, W\)   from b"):
        builder.add("s", a, b)


def test_option_a_widens(builder):
    builder.shortcut_a("s", INPUT, stride=2, pad_channels=(2, 3))
    assert builder.channels["s"] == 11


def test_the_rule_of_initialisation_is_the_layer_s(builder):
    builder.conv("out", INPUT, 600, Window.of(1))
    builder.conv("in", INPUT, 600, Window.of(1), start=he_fan_in)
    stds = {key: float(array.std()) for key, array in builder.source.tensors.items()}
    assert stds == {
        "out.weight": pytest.approx(np.sqrt(2 / 600), rel=0.1),
        "in.weight": pytest.approx(np.sqrt(2 / 6), rel=0.1),
    }
