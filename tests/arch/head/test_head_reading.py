"""The classifier is found by what it is, whatever its name."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch.head.reading import read_head
from npresnet.arch.tensors import Tensors
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net, conv, linear, norm
from tests.arch.heads import FEATURES, check, randomised, tensors_of, torch

nn = torch.nn
NET = basic_net((1,), head=None)

NAMES = [
    *("fc", "linear", "classifier", "last_linear", "head", "output", "out", "fc1", "fc.fc", "classifier.1", "head.fc"),
    *("new_fc", "cls", "logits", "model_fc", "last_layer", "top.dense", "predictions", "head.3", "net.10", "10"),
]


@pytest.mark.parametrize("name", NAMES)
def test_one_linear_layer_of_any_name(name):
    network, config = arch.build(NET | linear(name, 2, 8))
    assert dict(network.outputs) == {"logits": name}
    assert config.value("num_classes") == 2
    assert config.ambiguous() == {}


def test_modules_of_a_sequential_are_in_their_numbers_order_in_a_sorted_file():
    layers = [nn.Linear(FEATURES, 6), *[nn.Linear(6, 6) for _ in range(10)], nn.Linear(6, 3)]
    head = randomised(nn.Sequential(*layers))
    tensors = dict(sorted(tensors_of(head, "fc.").items()))
    assert list(tensors)[2] == "fc.1.bias"
    assert list(tensors)[4] == "fc.10.bias"
    check(head, tensors)


def test_widths_put_modules_in_order():
    """A file sorted by name has fc before resnet.fc."""
    first, second = randomised(nn.Linear(FEATURES, 6)), randomised(nn.Linear(6, 3), seed=1)
    tensors = tensors_of(second, "a.") | tensors_of(first, "z.")
    head = nn.Sequential(first, nn.ReLU(), second)
    _, config = check(head, tensors)
    assert config["head"].value == ["z", "a"]


def test_named_modules_in_the_file_s_order():
    layers = [nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)]
    head = randomised(nn.Sequential(*layers))
    names = {0: "fc.fc1", 1: "fc.bn1", 3: "fc.fc2", 5: "fc.fc3"}
    tensors = {f"{names[int(k[0])]}{k[1:]}": v for k, v in tensors_of(head).items()}
    _, config = check(head, tensors)
    assert config["head"].certainty == "told"


def test_equal_widths_in_a_sorted_file_are_ambiguous():
    tensors = norm("fc.bn", 8) | linear("fc.first", 8, 8) | linear("fc.second", 2, 8)
    sorted_tensors = dict(sorted(tensors.items()))
    _, config = arch.build(NET | sorted_tensors)
    assert config["head"].value == ["fc.bn", "fc.first", "fc.second"]
    (other,) = config["head"].alternatives
    assert other == "head=['fc.first', 'fc.bn', 'fc.second']"
    network, config = arch.build(NET | sorted_tensors, options={"head": ["fc.first", "fc.bn", "fc.second"]})
    assert config["head"].certainty == "told"
    assert network["fc.bn"].inputs == ("fc.first",)


SIBLINGS = {
    "two tasks": linear("fc_colour", 5, 8) | linear("fc_shape", 3, 8),
    "two Sequentials": linear("a.0", 4, 8) | linear("a.2", 5, 4) | linear("b.0", 4, 8) | linear("b.2", 3, 4),
    "a trunk": linear("trunk", 4, 8) | linear("age", 1, 4) | linear("sex", 2, 4),
}


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("two tasks", ["fc_colour (5 x 8)", "fc_shape (3 x 8)", "head='fc_colour' or head='fc_shape'"]),
        ("two Sequentials", ["a.0 (4 x 8)", "b.0 (4 x 8)", "head='none'"]),
        ("a trunk", ["age (1 x 4)", "sex (2 x 4)", "head='age'"]),
    ],
)
def test_several_classifiers_are_refused_by_name(case, names):
    with pytest.raises(ArchitectureError, match="several classifiers") as caught:
        arch.build(NET | SIBLINGS[case])
    assert all(name in str(caught.value) for name in names)


def test_layers_of_a_sequential_must_chain():
    with pytest.raises(ArchitectureError, match=r"fc\.2\.weight has shape \(3, 5\), expected \(3, 4\)"):
        arch.build(NET | linear("fc.0", 4, 8) | linear("fc.2", 3, 5))


@pytest.mark.parametrize("name", ["projector", "projection_head.0", "predictor.0", "module.prototypes", "proj"])
def test_a_projection_for_a_loss_is_no_classifier(name):
    assert read_head(Tensors(NET | linear(name, 2, 8)), 8).modules == ()
    both = read_head(Tensors(NET | linear(name, 4, 8) | linear("fc", 2, 8)), 8)
    assert [module.name for module in both.modules] == ["fc"]


@pytest.mark.parametrize(
    "left",
    [
        conv("decoder", 4, 8, 3, 3),
        norm("bottleneck", 8),
        linear("fc", 4, 8) | norm("bn", 4),
        linear("fc", 2, 8) | {"centers": np.ones((2, 8), np.float32)},
    ],
    ids=["a convolution", "a norm alone", "a norm at the end", "a matrix without a module"],
)
def test_what_is_no_classifier_is_refused(left):
    with pytest.raises(ArchitectureError, match="none of the network's layers reads"):
        arch.build(NET | left)


def test_names_of_the_body_may_be_told():
    """A pre-activation network ends in a norm of its own."""
    tensors = Tensors(NET | norm("norm", 8) | linear("head.fc", 2, 8))
    body = ("conv1.", "bn1.", "layer1.", "norm.")
    assert [module.name for module in read_head(tensors, 8, body=body).modules] == ["head.fc"]
    assert [module.kind for module in read_head(tensors, 8).modules] == ["batch_norm", "gap", "linear"]


@pytest.mark.parametrize("count", [7, 300])
def test_many_layers_do_not_take_long(count):
    """Widths that fit in any order, and a last one that fits nowhere."""
    tensors = {k: v for i in range(count) for k, v in linear(f"a{i}", 8, 8).items()}
    start = perf_counter()
    with pytest.raises(ArchitectureError, match="several classifiers"):
        arch.build(NET | tensors | linear("end", 2, 9))
    assert perf_counter() - start < 5
