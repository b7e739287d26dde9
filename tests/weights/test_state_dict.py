"""Wrappers and prefixes: which dict holds the weights, and its names without those of wrapping modules."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from npresnet.errors import CheckpointError
from npresnet.weights.custom import WRAPPERS
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
    assert find_state_dict({"weights": state(), "epoch": 1}).wrapper == "weights"
    with pytest.raises(CheckpointError, match=r"several state dicts \(student, teacher\)"):
        find_state_dict({"student": state(), "teacher": state()})


def test_only_one_level_is_unwrapped():
    with pytest.raises(CheckpointError, match="no tensors by name"):
        find_state_dict({"state_dict": {"model": state()}})


@pytest.mark.parametrize(
    "prefix", [*PREFIXES, "module.model.", "_orig_mod.module.", "model.backbone.", "module.encoder.model."]
)
def test_prefixes_that_all_names_share_are_stripped(prefix):
    found = find_state_dict({"state_dict": state(prefix=prefix)})
    assert (list(found.tensors), found.prefix) == (list(NET), prefix)


def test_names_below_an_unknown_prefix_stay():
    found = find_state_dict(state(prefix="resnet."))
    assert list(found.tensors) == [f"resnet.{name}" for name in NET]


def test_dilated_backbones_keep_their_heads_names():
    root = state("conv1.weight", "layer4.2.conv3.weight", prefix="backbone.") | state(
        "classifier.0.weight", "aux_classifier.4.bias"
    )
    found = find_state_dict(root)
    assert list(found.tensors) == [
        "conv1.weight",
        "layer4.2.conv3.weight",
        "classifier.0.weight",
        "aux_classifier.4.bias",
    ]
    assert found.prefix == "backbone."
    assert found.notes == ["classifier.0.weight, aux_classifier.4.bias have no prefix backbone. and keep their names"]


def test_detectors_keep_the_backbones_body():
    root = state(prefix="backbone.body.") | state("backbone.fpn.inner.weight", "rpn.head.conv.weight")
    found = find_state_dict(root)
    assert list(found.tensors)[: len(NET)] == list(NET)
    assert found.prefix == "backbone.body."


def test_moco_keeps_one_of_its_two_networks():
    query = state("conv1.weight", "fc.0.weight", prefix="module.encoder_q.")
    key = state("conv1.weight", "fc.0.weight", prefix="module.encoder_k.")
    found = find_state_dict({"state_dict": query | key | state("module.queue", "module.queue_ptr")})
    assert list(found.tensors) == ["conv1.weight", "fc.0.weight", "queue", "queue_ptr"]
    assert found.prefix == "module.encoder_q."
    assert "second copy" in found.notes[0]


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
