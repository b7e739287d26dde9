"""What stands between the layers of a classifier: told by numbers, customary, or ambiguous."""

from __future__ import annotations

import pytest

from npresnet import arch
from npresnet.arch.head.gaps import hidden_between
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net, conv, linear, norm
from tests.arch.heads import FEATURES, check, randomised, tensors_of, torch

nn = torch.nn
NET = basic_net((1,), head=None)


@pytest.mark.parametrize(
    ("places", "nodes"),
    [
        ([0], ["fc.0"]),
        ([1], ["fc.1"]),
        ([3], ["fc.3"]),
        ([0, 1], ["fc.0", "fc.1"]),
        ([0, 2], ["fc.0", "fc.1", "fc.2"]),
        ([0, 3], ["fc.0", "fc.1", "fc.3"]),
        ([1, 4], ["fc.1", "fc.2", "fc.4"]),
        ([1, 4, 6], ["fc.1", "fc.2", "fc.4", "fc.5", "fc.6"]),
    ],
    ids=str,
)
def test_sequential(places, nodes):
    """A module between two Linear layers is assumed to be a ReLU, aloud."""
    layers = [linear(f"fc.{i}", 4, 8 if i == places[0] else 4) for i in places]
    network, config = arch.build({k: v for part in (NET, *layers) for k, v in part.items()})
    assert [node.name for node in network][-len(nodes) :] == nodes
    assert [network[name].op for name in nodes] == ["linear" if int(n[3:]) in places else "relu" for n in nodes]
    assert dict(network.outputs) == {"logits": nodes[-1]}
    assert network.find("fc") == nodes[-1]
    assert ("head" in config) == (len(places) > 1)
    has_gap = len(nodes) > len(places)
    is_list = places == [0, 1]  # of a Sequential without an activation, or a ModuleList with a function between
    assert list(config.ambiguous()) == ["head_activation"] * (has_gap or is_list)
    if has_gap:
        decision = config["head_activation"]
        assert "ReLU; the tensors cannot tell" in decision.note
        assert decision.alternatives[:2] == ("head_activation='none'", "head_activation='tanh'")


def test_named_modules_are_ambiguous():
    layers = [nn.Linear(FEATURES, 6), nn.ReLU(), nn.Linear(6, 3)]
    head = randomised(nn.Sequential(*layers))
    tensors = tensors_of(head[0], "classifier.fc1.") | tensors_of(head[2], "classifier.fc2.")
    _, config = check(head, tensors)
    assert "classifier.fc1.activation" in config["head_activation"].note
    assert config["head_activation"].certainty == "ambiguous"
    without = nn.Sequential(head[0], head[2])
    check(without, tensors, head_activation="none")


@pytest.mark.parametrize(("body", "outer"), [("0.fc", "1"), ("0.fc", "2")])
def test_neighbours_of_a_whole_resnet_in_a_sequential(body, outer):
    head = randomised(nn.Sequential(nn.Linear(FEATURES, 6), nn.Linear(6, 3)))
    _, config = check(head, tensors_of(head[0], f"{body}.") | tensors_of(head[1], f"{outer}."), head_activation="none")
    if outer == "1":
        _, config = check(head, tensors_of(head[0], f"{body}.") | tensors_of(head[1], f"{outer}."))
        assert config.ambiguous() == {}


@pytest.mark.parametrize(("body", "outer"), [("backbone.fc", "head.fc"), ("resnet.fc", "fc"), ("net.fc", "linear")])
def test_nothing_is_assumed_behind_a_whole_resnet(body, outer):
    """self.classifier(self.resnet(x)): the 1,000 logits go straight into it, though a ReLU would leave no trace."""
    head = randomised(nn.Sequential(nn.Linear(FEATURES, 6), nn.Linear(6, 3)))
    tensors = tensors_of(head[0], f"{body}.") | tensors_of(head[1], f"{outer}.")
    _, config = check(head, tensors)
    assert config["head_activation"].value == "none"
    assert config["head_activation"].alternatives[0] == "head_activation='relu'"
    with_relu = nn.Sequential(head[0], nn.ReLU(), head[1])
    check(with_relu, tensors, head_activation="relu")


def test_batch_norm_between():
    """Linear, BatchNorm1d, ReLU, Dropout, Linear: the norm follows at once, one place is left for an activation."""
    layers = [nn.Linear(FEATURES, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 3)]
    head = randomised(nn.Sequential(*layers))
    network, config = check(head, tensors_of(head, "fc."))
    assert [network[f"fc.{i}"].op for i in (0, 1, 2, 4)] == ["linear", "batch_norm", "relu", "linear"]
    assert config["head"].value == ["fc.0", "fc.1", "fc.4"]


def test_an_activation_before_a_norm_stands_alone():
    """Linear, ReLU, BatchNorm1d, Dropout, Linear, Dropout, Linear."""
    layers = [nn.Linear(FEATURES, 6), nn.ReLU(), nn.BatchNorm1d(6), nn.Dropout(), nn.Linear(6, 5), nn.ReLU()]
    head = randomised(nn.Sequential(*layers, nn.Linear(5, 3)))
    _, config = check(head, tensors_of(head, "fc."))
    assert config["head_activation"].value == ["relu", "none", "relu"]


def test_a_norm_before_the_classifier():
    """Re-identification: self.bottleneck = BatchNorm1d, self.classifier = Linear without bias."""
    head = randomised(nn.Sequential(nn.BatchNorm1d(FEATURES), nn.Linear(FEATURES, 3, bias=False)))
    tensors = tensors_of(head[0], "bottleneck.") | tensors_of(head[1], "classifier.")
    _, config = check(head, tensors)
    assert config.ambiguous() == {}


def fastai_head(width: int, bias: bool) -> list:
    """As vision_learner makes it, from the first BatchNorm on."""
    first = [nn.BatchNorm1d(width), nn.Dropout(0.25), nn.Linear(width, 6, bias=bias), nn.ReLU()]
    return [*first, nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3, bias=bias)]


class MaxAndAverage(nn.Module):
    def forward(self, x):
        return torch.cat([x.amax((2, 3), True), x.mean((2, 3), True)], 1)


@pytest.mark.parametrize("bias", [True, False])
def test_fastai(bias):
    head = randomised(nn.Sequential(MaxAndAverage(), nn.Flatten(), *fastai_head(2 * FEATURES, bias)))
    _, config = check(head, tensors_of(head, "1."), flat=False)
    assert (config["global_pool"].value, config["global_pool"].certainty) == ("catmaxavg", "told")
    assert (config["head_activation"].value, config["head_activation"].certainty) == (
        ["none", "relu", "none"],
        "custom",
    )


def test_fastai_with_an_average_alone():
    head = randomised(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *fastai_head(FEATURES, False)))
    _, config = check(head, tensors_of(head, "1."), flat=False)
    assert config.ambiguous() == {}


def test_twice_the_features_are_two_pools_in_an_ambiguous_order():
    network, config = arch.build(NET | linear("fc", 2, 16))
    assert config["global_pool"].value == "catavgmax"
    assert config["global_pool"].alternatives == ("global_pool='catmaxavg'", "head='none'")
    assert "two images" in config["global_pool"].note
    assert network["global_pool"].inputs == ("global_pool.avg", "global_pool.max")
    network, config = arch.build(NET | linear("fc", 2, 16), options={"global_pool": "catmaxavg"})
    assert config.ambiguous() == {}
    assert network["global_pool"].inputs == ("global_pool.max", "global_pool.avg")


REFUSED = {
    "too far in": linear("fc.4", 4, 8),
    "too far apart": linear("fc.0", 4, 8) | linear("fc.4", 4, 4),
    "a norm too far away": linear("fc.0", 4, 8) | norm("fc.4", 4) | linear("fc.5", 4, 4),
}


@pytest.mark.parametrize("case", REFUSED)
def test_unreadable_sequentials_come_with_advice(case):
    with pytest.raises(ArchitectureError, match=r"(?s)classifier fc is a Sequential.*embedding") as caught:
        arch.build(NET | REFUSED[case])
    assert "fc.0" in str(caught.value) or "fc.4" in str(caught.value)


def test_a_convolution_over_several_positions_is_left_over():
    with pytest.raises(ArchitectureError, match=r"none of the network's layers reads: fc\.0\.weight"):
        arch.build(NET | conv("fc.0", 4, 8, 3, 3))


def test_one_logit_means_a_sigmoid():
    _, config = arch.build(NET | linear("fc", 1, 8))
    assert (config["scores"].value, config["scores"].origin) == ("sigmoid", "inferred")
    _, config = arch.build(NET | linear("fc", 2, 8))
    assert (config["scores"].value, config["scores"].origin) == ("softmax", "default")
    _, config = arch.build(NET | linear("fc", 2, 8), options={"scores": "sigmoid"})
    assert (config["scores"].value, config["scores"].origin) == ("sigmoid", "caller")


@pytest.mark.parametrize(
    ("before", "after", "hidden"),
    [
        ("fc.0", "fc.1", 0),
        ("fc.0", "fc.3", 2),
        ("fc.3", "fc.0", None),
        ("a.0", "b.1", None),
        ("fc.0.fc", "fc.1", None),
        ("0.fc", "1", 0),
        ("0.fc", "1.0", 0),
        ("0.linear", "1", None),
        ("head.0.0", "head.1", None),
        ("fc1", "fc2", None),
        ("7", "9", 1),
    ],
)
def test_modules_hidden_between(before, after, hidden):
    assert hidden_between(before, after) == hidden
