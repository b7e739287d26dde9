"""Pooling, and the layers of a classifier, beside PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch.head.build import ACTIVATIONS, OPTIONS, POOLS
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net, linear, norm
from tests.arch.heads import FEATURES, body, check, randomised, tensors_of, torch

nn = torch.nn
NET = basic_net((1,), head=None)

TORCHS = {
    "relu": nn.ReLU(),
    "tanh": nn.Tanh(),
    "gelu": nn.GELU(),
    "leaky_relu": nn.LeakyReLU(),
    "silu": nn.SiLU(),
    "sigmoid": nn.Sigmoid(),
    "relu6": nn.ReLU6(),
    "elu": nn.ELU(),
    "selu": nn.SELU(),
    "mish": nn.Mish(),
    "hard_sigmoid": nn.Hardsigmoid(),
    "hard_swish": nn.Hardswish(),
    "none": nn.Dropout(0.5),
}


def names_of(network):
    return [node.name for node in network]


def test_one_linear_layer():
    head = randomised(nn.Linear(FEATURES, 3))
    network, config = check(head, tensors_of(head, "fc."))
    assert dict(network.outputs) == {"logits": "fc"}
    assert config["global_pool"].value == "avg"
    assert "head" not in config
    assert "head_activation" not in config


def test_a_linear_layer_without_bias():
    head = randomised(nn.Linear(FEATURES, 3, bias=False))
    network, _ = check(head, tensors_of(head, "fc."))
    assert set(network["fc"].params) == {"weight"}


def test_no_classifier():
    network, config = arch.build(NET)
    assert dict(network.outputs) == {"embedding": "flatten"}
    assert config["num_classes"].value is None
    assert "scores" not in config
    with pytest.raises(ArchitectureError, match="no classifier"):
        arch.build(NET, options={"num_classes": 1000})


@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_as_classifier(bias):
    """timm's pre-activation networks store (K, C, 1, 1)."""
    head = randomised(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(FEATURES, 4, 1, bias=bias), nn.Flatten()))
    tensors = {name.replace("1.", "head.fc.", 1): array for name, array in tensors_of(head).items()}
    network, config = check(head, tensors, flat=False)
    assert network["head.fc"].op == "linear"
    assert config["num_classes"].value == 4


def test_a_convolution_of_another_width_is_refused():
    with pytest.raises(ArchitectureError, match=r"head\.fc\.weight has shape \(4, 9, 1, 1\), expected \(4, 8, 1, 1\)"):
        arch.build(NET | {"head.fc.weight": np.ones((4, 9, 1, 1), np.float32)})


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_between_two_layers(name):
    head = randomised(nn.Sequential(nn.Linear(FEATURES, 6), TORCHS[name], nn.Linear(6, 3)))
    network, config = check(head, tensors_of(head, "fc."), head_activation=name)
    assert (config["head_activation"].value, config["head_activation"].origin) == (name, "caller")
    assert config["head_activation"].alternatives == ()
    assert ("fc.1" in names_of(network)) == (name != "none")


@pytest.mark.parametrize("kind", POOLS)
def test_every_pool(kind):
    average, largest = (lambda x: x.mean((2, 3))), (lambda x: x.amax((2, 3)))
    pools = {
        "avg": average,
        "max": largest,
        "avgmax": lambda x: 0.5 * (average(x) + largest(x)),
        "catavgmax": lambda x: torch.cat([average(x), largest(x)], 1),
        "catmaxavg": lambda x: torch.cat([largest(x), average(x)], 1),
    }

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(FEATURES * (2 if kind.startswith("cat") else 1), 3)

        def forward(self, x):
            return self.fc(pools[kind](x))

    head = randomised(Head())
    network, config = check(head, tensors_of(head), flat=False, global_pool=kind)
    assert (config["global_pool"].value, config["global_pool"].origin) == (kind, "caller")
    assert ("avgpool" in names_of(network)) == (kind == "avg")


def test_a_told_pool_that_does_not_fit():
    with pytest.raises(ArchitectureError, match=r"fc\.weight has shape \(2, 8\), expected \(2, 16\)"):
        arch.build(body() | linear("fc", 2, 8), options={"global_pool": "catavgmax"})


def test_an_activation_for_each_gap():
    layers = [nn.Linear(FEATURES, 6), nn.GELU(), nn.Linear(6, 5), nn.Dropout(), nn.Linear(5, 3)]
    head = randomised(nn.Sequential(*layers))
    _, config = check(head, tensors_of(head, "classifier."), head_activation=["gelu", "none"])
    assert config["head_activation"].value == ["gelu", "none"]


def test_the_slope_of_a_leaky_relu():
    head = randomised(nn.Sequential(nn.Linear(FEATURES, 6), nn.LeakyReLU(0.3), nn.Linear(6, 3)))
    check(head, tensors_of(head, "fc."), head_activation=["leaky_relu", 0.3])
    check(head, tensors_of(head, "fc."), head_activation=[["leaky_relu", 0.3]])


def test_one_name_is_for_the_places_of_activations_alone():
    """After the first BatchNorm stands a Dropout."""
    layers = [nn.BatchNorm1d(FEATURES), nn.Dropout(), nn.Linear(FEATURES, 6), nn.GELU(), nn.Linear(6, 3)]
    head = randomised(nn.Sequential(*layers))
    check(head, tensors_of(head, "fc."), head_activation="gelu")


@pytest.mark.parametrize(
    ("tensors", "given", "match"),
    [
        (linear("fc", 2, 8), "tanh", r"head_activation='tanh': this classifier \(fc\) has no place"),
        (linear("fc", 2, 8), ["tanh"], r"has 1 names, but this classifier \(fc\) has 0 places"),
        (linear("fc.0", 4, 8) | linear("fc.2", 2, 4), ["relu", "none"], r"has 1 places.*: fc\.1\."),
        (linear("fc.0", 4, 8) | linear("fc.2", 2, 4), "softplus", r"must be one of none, relu, tanh"),
        (linear("fc.0", 4, 8) | linear("fc.2", 2, 4), [], r"must be one of none, relu, tanh"),
    ],
    ids=["no gap", "a list for none", "too many", "unknown", "empty"],
)
def test_activations_that_have_no_place(tensors, given, match):
    with pytest.raises(ArchitectureError, match=match):
        arch.build(NET | tensors, options={"head_activation": given})


def test_no_activation_may_be_told_where_there_is_no_gap():
    network, _ = arch.build(NET | linear("fc", 2, 8), options={"head_activation": "none"})
    assert dict(network.outputs) == {"logits": "fc"}


def test_norms_without_scale_and_shift():
    head = randomised(nn.Sequential(nn.Linear(FEATURES, 6, bias=False), nn.BatchNorm1d(6, affine=False)))
    tensors = tensors_of(head, "fc.")
    out = randomised(nn.Linear(6, 2))
    check(nn.Sequential(*head, out), tensors | tensors_of(out, "fc.2."))


def test_layer_norm():
    layers = [nn.LayerNorm(FEATURES), nn.Linear(FEATURES, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 3)]
    head = randomised(nn.Sequential(*layers))
    check(head, tensors_of(head, "head."))


def test_the_options_are_in_the_config_and_make_random_networks():
    model_options = {"global_pool": "max", "scores": "sigmoid"}
    tensors = arch.random_tensors("resnet10", num_classes=4, **model_options)
    network, config = arch.build(tensors, arch="resnet10", options=model_options)
    assert config.value("global_pool") == "max"
    assert config.value("scores") == "sigmoid"
    assert network["flatten"].inputs == ("global_pool",)
    assert set(OPTIONS) <= set(arch.OPTIONS)


def test_a_negative_variance_in_a_head_is_refused():
    bad = norm("fc.0", 8) | {"fc.0.running_var": np.full(8, -1, np.float32)} | linear("fc.1", 2, 8)
    with pytest.raises(ArchitectureError, match=r"fc\.0\.running_var holds a negative variance"):
        arch.build(NET | bad)
