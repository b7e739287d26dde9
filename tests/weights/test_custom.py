"""Which of several state dicts is the network: by custom, by what it holds, or by asking."""

from __future__ import annotations

import itertools

import pytest

from npresnet.errors import CheckpointError
from npresnet.weights.custom import WRAPPERS
from npresnet.weights.state_dict import StateDict, find_state_dict
from tests.weights.fixtures.objects import network, optimizer, tensor


def chosen(root: dict) -> str | None:
    return find_state_dict(root).wrapper


def alternatives(found: StateDict) -> tuple[str, ...]:
    return () if found.key is None else found.key.alternatives


@pytest.mark.parametrize(
    ("root", "wrapper"),
    [
        ({"network": network(), "loss": tensor(())}, "network"),
        ({"best": {"weights_7": network()}, "best_top1": tensor(()), "confusion": tensor((4, 4))}, "best.weights_7"),
        ({"state": {"model": network(), "timestamp": {}}, "rng": [{"cuda": tensor((9,))}]}, "state.model"),
        ({"model": network(), "opt": {}}, "model"),
        ({"weights_7": network(), "opt": optimizer(network())}, "weights_7"),
        ({"weights_7": network(), "centre_loss": {"criterion": {"centers": tensor((9, 4))}}}, "weights_7"),
        ({"weights_7": network(), "criterion": network()}, "weights_7"),  # a perceptual loss
        ({"weights_7": network(), "criterion": {"vgg": {"0": network(seed=4)}}}, "weights_7"),
        ({"best_loss": {"weights_7": network()}, "epoch": 3}, "best_loss.weights_7"),
        ({"weights_7": network(), "example": tensor((1, 3, 8, 8))}, "weights_7"),
        (network() | {"epoch": 3}, None),
    ],
)
def test_the_only_network_is_told(root, wrapper):
    found = find_state_dict(root)
    assert (found.wrapper, found.key) == (wrapper, None)


@pytest.mark.parametrize(("first", "second"), list(itertools.pairwise(WRAPPERS)))
def test_the_order_of_custom(first, second):
    found = find_state_dict({second: network(seed=9), first: network()})
    assert (found.wrapper, alternatives(found)) == (first, (f"key={second!r}",))
    assert found.key.certainty == "ambiguous"


def test_the_top_level_comes_between_plain_and_averaged_ones():
    found = find_state_dict(network() | {"state_dict_ema": network(seed=5)})
    assert (found.wrapper, found.key.value, alternatives(found)) == (None, "", ("key='state_dict_ema'",))
    assert chosen(network() | {"net": network(seed=5)}) == "net"


def test_the_first_keys_that_differ_decide():
    root = {"ema": {"model": network(seed=1)}, "model": {"params_ema": network(seed=2), "weights_7": {}}}
    assert chosen(root) == "model.params_ema"
    assert chosen({"outer": {"inner": {"x": {"ema": network(seed=1), "net": network(seed=2)}}}}) == "outer.inner.x.net"


@pytest.mark.parametrize(
    "root",
    [
        {"generator": network(), "discriminator": network(seed=7)},
        {"generator": {"state_dict": network()}, "discriminator": {"state_dict": network(seed=7)}},
        {"student": network(), "teacher": network(seed=7)},  # distillation wants one, DINO the other
    ],
)
def test_unknown_rivals_are_asked_about(root):
    with pytest.raises(CheckpointError, match="several state dicts") as caught:
        find_state_dict(root)
    first, second = root
    assert first in str(caught.value)
    assert second in str(caught.value)
    assert "key='" in str(caught.value)


def test_dino_evaluates_its_teacher():
    student, teacher = network("module.backbone.", seed=1), network("backbone.", seed=2)
    found = find_state_dict({"student": student, "teacher": teacher, "dino_loss": {"center": tensor((1, 8))}})
    assert (found.wrapper, found.prefix, found.key.value) == ("teacher", "backbone.", "teacher")
    assert (found.key.origin, found.key.certainty) == ("default", "custom")
    assert "DINO" in found.key.note


def test_vissl_uses_its_trunk():
    heads = {"0": {"weight": tensor((5, 2))}, "clf.0.weight": tensor((5, 2))}
    model = {"trunk": network("_feature_blocks."), "heads": heads}
    found = find_state_dict({"classy_state_dict": {"base_model": {"model": model}}, "iteration": 5})
    assert found.wrapper == "classy_state_dict.base_model.model.trunk"
    assert found.key.certainty == "custom"
    assert "VISSL" in found.key.note


def test_equal_copies_are_no_rivals():
    ours = network(seed=3)
    averaged = {f"module.{name}": value for name, value in network(seed=3).items()} | {"n_averaged": tensor(())}
    found = find_state_dict({"model": ours, "model_ema": averaged, "ema": {f"module.{k}": v for k, v in ours.items()}})
    assert (found.wrapper, found.key) == ("model", None)
    assert found.notes == [
        "the file also holds tensors in model_ema, ema, with the same numbers; those of model were used"
    ]


@pytest.mark.parametrize("name", ["conv1.weight", "fc.weight", "bn1.weight"])
def test_one_number_makes_a_rival(name):
    other = network(seed=3) | {name: tensor(network()[name].shape, seed=99)}
    assert alternatives(find_state_dict({"model": network(seed=3), "ema": other})) == ("key='ema'",)


def test_a_rival_of_another_shape_or_with_other_names():
    for other in (network(seed=0) | {"fc.weight": tensor((7, 2))}, network(more=(1,))):
        assert alternatives(find_state_dict({"model": network(), "ema": other})) == ("key='ema'",)


def test_a_classifier_beside_its_network_is_said():
    """A dict of matrices may be the part that the network lacks."""
    found = find_state_dict({"backbone": network(), "head": {"weight": tensor((5, 2)), "bias": tensor((5,))}})
    assert (found.wrapper, alternatives(found)) == ("backbone", ("key='head'",))
    assert find_state_dict({"backbone": network(), "stats": {"weight": tensor((5, 2))}}).key is None


def test_many_rivals_are_counted():
    found = find_state_dict({"model": network()} | {f"fold_{place}": network(seed=place + 9) for place in range(30)})
    assert len(alternatives(found)) == 4
    assert "and 18 more" in found.key.note


@pytest.mark.parametrize("part", ["bn", "delta", "bottleneck"])
def test_vectors_beside_a_network_may_be_a_part_of_it(part):
    """A norm on its features, or changes of its biases; those of a loss or a metric are not."""
    vectors = {"weight": tensor((4,)), "bias": tensor((4,), seed=3)}
    assert alternatives(find_state_dict({"model": network(), part: vectors})) == (f"key={part!r}",)
    assert alternatives(find_state_dict({"model": network(), "metrics": vectors})) == ()


@pytest.mark.parametrize("name", ["temperature", "logit_scale", "calibration"])
def test_a_tensor_that_scales_the_logits_is_said(name):
    root = {"state_dict": network(), name: tensor(()), "best_acc": tensor(())}
    found = find_state_dict(root)
    assert alternatives(found) == ("key='state_dict'",)
    assert found.key is not None
    assert found.key.note == f"{name} beside it scales no result"
    assert alternatives(find_state_dict(root, "state_dict")) == ()
    assert find_state_dict({"state_dict": network(), name: 0.07}).key is None, "a setting of the training"
