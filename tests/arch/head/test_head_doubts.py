"""What looks like a chain of linear layers and may be something else: said aloud, or refused."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.errors import ArchitectureError
from tests.arch.fabric import Tensors, basic_net, conv, linear, norm, prefixed
from tests.arch.heads import FEATURES, check, randomised, tensors_of, torch

nn = torch.nn
NET = basic_net((1,), head=None)


def vectors(name: str, channels: int = FEATURES) -> Tensors:
    return {f"{name}.{role}": np.ones(channels, np.float32) for role in ("weight", "bias")}


def test_a_list_of_linear_layers_may_have_functions_between():
    """`for layer in self.layers[:-1]: x = relu(layer(x))`."""
    layers = nn.ModuleList([nn.Linear(FEATURES, 6), nn.Linear(6, 5), nn.Linear(5, 3)])
    with_relu = randomised(nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2]))
    tensors = tensors_of(layers, "mlp.layers.")
    _, config = check(nn.Sequential(*layers), tensors)
    assert config["head_activation"].value == ["none", "none"]
    assert config["head_activation"].alternatives[0] == "head_activation='relu'"
    _, config = check(with_relu, tensors, head_activation="relu")
    assert config.ambiguous() == {}


@pytest.mark.parametrize("name", ["arc", "arc_margin", "cosine_head.layer", "metric_fc", "SubCenter"])
def test_a_loss_of_angles_is_no_linear_layer(name):
    tensors = NET | {f"{name}.weight": np.ones((3, FEATURES), np.float32)}
    head = arch.build(tensors)[1]["head"]
    assert (head.value, head.alternatives) == ([name], ("head='none'",))
    assert arch.build(tensors, options={"head": name})[1].ambiguous() == {}
    assert dict(arch.build(tensors, options={"head": "none"})[0].outputs) == {"embedding": "flatten"}
    assert arch.build(NET | linear(name, 3, FEATURES))[1].ambiguous() == {}, "one with a bias is an ordinary layer"


@pytest.mark.parametrize(
    "name",
    ["se", "head_attention", "ca1", "adapter", "gate", "lora_fc", "SpatialAtt", "query", "to_k", "v_proj"],
)
def test_gates_and_adapters_are_no_links_of_a_chain(name):
    """fc(x * gate(x)), fc(x + adapter(x)): their widths fit a chain."""
    back_and_forth = linear(f"{name}.0", 4, FEATURES) | linear(f"{name}.2", FEATURES, 4)
    for tensors in (linear(name, FEATURES, FEATURES), back_and_forth):
        with pytest.raises(ArchitectureError, match=rf"reads: {name}"):
            arch.build(NET | tensors | linear("fc", 3, FEATURES))


@pytest.mark.parametrize("between", [{}, norm("neck.1", 5)], ids=["alone", "with a norm"])
def test_a_1x1_convolution_before_linear_layers_is_refused(between):
    """relu(conv(map)) before the pool is not relu(conv(pool(map)))."""
    with pytest.raises(ArchitectureError, match=r"neck\.0 is a convolution.*the pool.*head='none'"):
        arch.build(NET | conv("neck.0", 5, FEATURES, 1, 1) | between | linear("fc", 3, 5))


@pytest.mark.parametrize("channels", [3, 1])
def test_an_adapter_of_an_images_channels_does_not_follow_the_logits(channels):
    """A 1x1 convolution from as many channels as there are classes."""
    with pytest.raises(ArchitectureError, match=r"to_rgb is a convolution .* fc .* channels of images"):
        arch.build(NET | linear("fc", channels, FEATURES) | conv("to_rgb", 3, channels, 1, 1))


def test_where_the_pool_stands_is_said_of_convolutions_with_an_activation():
    tensors = conv("head.0", 5, FEATURES, 1, 1) | conv("head.2", 3, 5, 1, 1)
    assert "pool" in arch.build(NET | tensors)[1]["head_activation"].note
    plain = linear("head.0", 5, FEATURES) | linear("head.2", 3, 5)
    assert "pool" not in arch.build(NET | plain)[1]["head_activation"].note


def test_places_beside_the_network_are_told_by_the_files_own_names():
    """`bn` beside `backbone.bn1` is not the stem's."""
    tensors = prefixed(NET, "backbone.") | linear("conv2", 6, FEATURES) | linear("fc", 3, 6)
    note = arch.build(tensors)[1]["head_activation"].note
    assert note.startswith("conv2.activation taken for ReLU")


@pytest.mark.parametrize("name", ["embedding", "class_emb", "head.codebook", "centroids", "memory_bank", "label_table"])
def test_a_table_of_vectors_may_be_no_classifier(name):
    weight = {f"{name}.weight": np.ones((3, FEATURES), np.float32)}
    config = arch.build(NET | weight)[1]
    assert config["head"].alternatives == ("head='none'",)
    assert arch.build(NET | weight, options={"head": name})[1].ambiguous() == {}
    assert arch.build(NET | linear(name, 3, FEATURES))[1].ambiguous() == {}, "one with a bias is an ordinary layer"


@pytest.mark.parametrize("name", ["scale", "gn", "bn", "head.affine", "film_shift", "whitening", "neck"])
def test_not_every_pair_of_vectors_is_a_layer_norm(name):
    with pytest.raises(ArchitectureError, match=rf"reads: {name}\.weight"):
        arch.build(NET | vectors(name) | linear("fc", 3, FEATURES))
    assert arch.build(NET | vectors("ln") | linear("fc", 3, FEATURES))[0]["ln"].op == "group_norm"


@pytest.mark.parametrize("between", [nn.Dropout(), nn.ReLU(), nn.Tanh()], ids=lambda module: type(module).__name__)
def test_between_a_norm_and_the_first_linear_layer_may_be_an_activation(between):
    """BatchNorm1d, Dropout, Linear has the names of BatchNorm1d, ReLU, Linear."""
    head = randomised(nn.Sequential(nn.BatchNorm1d(FEATURES), between, nn.Linear(FEATURES, 3)))
    tensors = tensors_of(head, "fc.")
    config = arch.build(NET | tensors)[1]
    assert config["head_activation"].value == "none"
    assert config["head_activation"].alternatives[0] == "head_activation='relu'"
    name = {"Dropout": "none", "ReLU": "relu", "Tanh": "tanh"}[type(between).__name__]
    _, config = check(head, tensors, head_activation=name)
    assert config.ambiguous() == {}


def test_a_norm_right_before_the_first_linear_layer_is_certain():
    tensors = tensors_of(nn.Sequential(nn.BatchNorm1d(FEATURES), nn.Linear(FEATURES, 3)), "fc.")
    assert arch.build(NET | tensors)[1].ambiguous() == {}
