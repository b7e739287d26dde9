"""Wrappers and prefixes: which dict holds the weights, and its names without those of wrapping modules."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from npresnet.errors import CheckpointError
from npresnet.weights.custom import WRAPPERS
from npresnet.weights.inert import Inert
from npresnet.weights.state_dict import PREFIXES, find_state_dict
from npresnet.weights.tensor import Storage, Tensor

NET = ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "fc.weight", "fc.bias")


def tensor() -> Tensor:
    return Tensor(Storage("0", "float32", 1), 0, (1,), (1,), "float32")


def state(*names: str, prefix: str = "") -> dict:
    return {prefix + name: tensor() for name in names or NET}


def names(root: object) -> list[str]:
    return list(find_state_dict(root).tensors)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_one_level_is_unwrapped(wrapper):
    root = {"epoch": 3, wrapper: state(), "optimizer": {"state": {0: {"momentum_buffer": tensor()}}}, "best_prec1": 0.5}
    found = find_state_dict(root)
    assert (list(found.tensors), found.wrapper) == (list(NET), wrapper)
    assert list(found.others) == ["epoch", "optimizer", "best_prec1"]


def test_no_wrapper():
    found = find_state_dict(state())
    assert (list(found.tensors), found.wrapper, found.prefix) == (list(NET), None, "")


def test_the_first_of_several_wrappers_wins_and_is_named():
    found = find_state_dict({"state_dict_ema": state("fc.bias"), "state_dict": state()})
    assert found.wrapper == "state_dict"
    assert found.notes == ["the file also holds tensors in state_dict_ema; those of state_dict were used"]


def test_a_wrapper_of_an_unusual_name_is_unwrapped_if_it_is_the_only_one():
    assert find_state_dict({"weights_of_epoch_3": state(), "epoch": 1}).wrapper == "weights_of_epoch_3"
    with pytest.raises(CheckpointError, match=r"several state dicts \(student, teacher\); .*key='student'"):
        find_state_dict({"student": state(), "teacher": state()})


@pytest.mark.parametrize("keys", [("state_dict", "model"), ("a", "b", "c", "d", "e"), ("state", "model"), (b"net", 3)])
def test_any_depth_is_unwrapped(keys):
    root = {"epoch": 3, "optimizer": {"state": {0: {"exp_avg": tensor()}}}, **nested(keys, state(prefix="module."))}
    found = find_state_dict(root)
    assert (list(found.tensors), found.prefix) == (list(NET), "module.")
    assert found.wrapper == ".".join(key.decode() if isinstance(key, bytes) else str(key) for key in keys)


def test_entries_of_every_level_are_listed():
    found = find_state_dict({"epoch": 3, "outer": {"rng": 7, "model": state() | {"version": 1}, "lr": 0.1}})
    assert found.others == {"epoch": 3, "outer.rng": 7, "outer.lr": 0.1}
    assert [next(iter(entries)) for entries in found.around] == ["epoch", "rng", NET[0]]


def nested(keys: tuple, inside: object) -> dict:
    for key in reversed(keys):
        inside = {key: inside}
    return inside


@pytest.mark.parametrize(
    "prefix", [*PREFIXES, "module.model.", "_orig_mod.module.", "model.backbone.", "module.encoder.model."]
)
def test_prefixes_that_all_names_share_are_stripped(prefix):
    found = find_state_dict({"state_dict": state(prefix=prefix)})
    assert (list(found.tensors), found.prefix) == (list(NET), prefix)


def test_names_below_an_unknown_prefix_stay():
    found = find_state_dict(state(prefix="resnet."))
    assert list(found.tensors) == [f"resnet.{name}" for name in NET]


@pytest.mark.parametrize(
    "root",
    [
        state("conv1.weight", "layer4.2.conv3.weight", prefix="backbone.") | state("classifier.0.weight"),
        state(prefix="backbone.body.") | state("backbone.fpn.inner.weight", "rpn.head.conv.weight"),
        state("fc.weight", prefix="backbone.") | state("head.fc.weight", "projector.fc.weight"),
        state(prefix="module.") | state("n_averaged"),
    ],
)
def test_prefixes_of_some_names_stay_and_no_tensor_is_dropped(root):
    assert names(root) == list(root)


def test_moco_keeps_both_of_its_networks():
    query, key = state(prefix="module.encoder_q."), state(prefix="module.encoder_k.")
    found = find_state_dict({"state_dict": query | key | state("module.queue", "module.queue_ptr")})
    assert list(found.tensors) == [
        *(f"encoder_q.{name}" for name in NET), *(f"encoder_k.{name}" for name in NET), "queue", "queue_ptr"
    ]  # fmt: skip
    assert found.prefix == "module."


def test_a_prefix_of_some_names_stays_if_no_stem_has_it():
    """Hugging Face's `encoder.stages...` beside `embedder...` is one network."""
    root = state("embedder.embedder.convolution.weight", "encoder.stages.0.layers.0.layer.0.convolution.weight")
    assert names(root) == list(root)


def test_a_prefix_stays_if_stripping_would_merge_two_names():
    root = state("conv1.weight", prefix="encoder.") | state("conv1.weight")
    assert names(root) == list(root)


def test_keys_that_are_not_strings():
    assert names({b"conv1.weight": tensor(), 7: tensor(), b"caf\xe9": tensor()}) == ["conv1.weight", "7", "café"]
    with pytest.raises(CheckpointError, match="two tensors are called a"):
        find_state_dict({"a": tensor(), b"a": tensor()})


@pytest.mark.parametrize("key", [tensor(), Inert("pkg.Key"), (1, 2), 1.5, None])
def test_keys_that_are_no_names(key):
    with pytest.raises(CheckpointError, match="the key of one of its tensors is no name"):
        find_state_dict({"a": tensor(), key: tensor()})
    assert find_state_dict({"a": tensor(), key: "no tensor"}).tensors.keys() == {"a"}


def test_entries_other_than_tensors_are_left_out_and_named():
    found = find_state_dict({"state_dict": state() | {"version": 3, "_extra_state": None, "more": {}}})
    assert list(found.tensors) == list(NET)
    assert found.notes == ["version, _extra_state, more in state_dict held no tensor and were left out"]


@pytest.mark.parametrize(
    ("root", "match"),
    [
        (None, "no state dict; expected a dict of tensors, got None"),
        ([1, 2], "list of 2"),
        (7, "7"),
        ({}, "entries are none"),
        ({"epoch": 7, "state_dict": {}}, "epoch, state_dict"),
        (tensor(), "single tensor"),
        ([state()], "list of 1"),
    ],
)
def test_objects_without_a_state_dict(root, match):
    with pytest.raises(CheckpointError, match=match):
        find_state_dict(root)


def test_dicts_of_unknown_classes(folder):
    """A dict of a class that is not installed (easydict, CfgNode) is still a dict of tensors."""
    raw = pickle.dumps({"state_dict": UnknownDict(w=np.ones(2))}, 2)
    assert list(folder.read(raw).tensors) == ["w"]


class UnknownDict(dict):
    pass
