"""key=: a dotted path to a state dict, and on into its names."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from npresnet import weights
from npresnet.errors import CheckpointError
from npresnet.system.stamp import settle
from npresnet.weights.keys import find_by_key
from npresnet.weights.state_dict import find_state_dict
from tests.weights.fixtures.objects import SHAPES, network, tensor

NAMES = list(SHAPES)


def root() -> dict:
    return {
        "student": network("module.backbone.", 1), "teacher": network("backbone.", 2), "state_dict_ema": network("", 3),
        "state": {"model": network("module.", 4), "dotted.key": {"net": network("", 5)}, "step": 7},
        b"old": {3: network("", 6)}, "optimizer": {"averaged": network("", 7)}, "lr": 0.1, "mean": tensor((3,)),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "wrapper", "seed"),
    [
        ("student", "student", 1),
        ("teacher", "teacher", 2),
        ("state_dict_ema", "state_dict_ema", 3),
        ("state.model", "state.model", 4),
        ("state.dotted.key.net", "state.dotted.key.net", 5),
        ("state.dotted.key", "state.dotted.key.net", 5),
        ("old.3", "old.3", 6),
        ("old", "old.3", 6),
        ("optimizer.averaged", "optimizer.averaged", 7),  # whoever asks for it gets it
    ],
)
def test_paths(key, wrapper, seed):
    found = find_state_dict(root(), key)
    assert (found.wrapper, list(found.tensors)) == (wrapper, NAMES)
    assert np.array_equal(found.tensors["conv1.weight"].array(), tensor((2, 3, 3, 3), seed).array())
    assert (found.key.value, found.key.origin, found.key.certainty) == (key, "caller", "told")


def test_the_top_level():
    found = find_state_dict(network(seed=1) | {"net": network(seed=2)}, "")
    assert (found.wrapper, list(found.tensors)) == (None, NAMES)
    with pytest.raises(CheckpointError, match="State dicts are at: model"):
        find_state_dict({"model": network()}, "")


def test_a_number_beside_the_network_is_not_what_a_key_means():
    assert find_state_dict({"run": {"loss": tensor(()), "net": network()}}, "run").wrapper == "run.net"


def moco() -> dict:
    more = {"module.queue": tensor((4, 9)), "module.encoder_kk.w": tensor((1,))}
    return {"epoch": 3, "state_dict": network("module.encoder_q.", 1) | network("module.encoder_k.", 2) | more}


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        ("encoder_k", "module.encoder_k."),
        ("module.encoder_k", "module.encoder_k."),
        ("state_dict.encoder_k", "module.encoder_k."),
        ("state_dict.module.encoder_k.", "module.encoder_k."),
    ],
)
def test_a_prefix_inside_a_state_dict(key, prefix):
    found = find_state_dict(moco(), key)
    assert (found.wrapper, found.prefix, list(found.tensors)) == ("state_dict", prefix, NAMES)
    assert np.array_equal(found.tensors["bn1.weight"].array(), tensor((2,), 3).array())
    assert (found.key.value, found.key.origin) == (key, "caller")


def test_a_prefix_of_several_parts_at_the_top_level():
    names = network("model.momentum_encoder.module.", 1) | network("model.encoder.", 2) | {"model.head": tensor((1,))}
    for key in ("model.momentum_encoder", "momentum_encoder"):
        found = find_state_dict(names, key)
        assert (found.wrapper, list(found.tensors)) == (None, NAMES)
        assert found.prefix == "model.momentum_encoder.module."


def test_keys_come_before_prefixes():
    names = {"net": {"a": network(seed=1)} | network("a.", seed=2)}
    assert find_state_dict(names, "net.a").wrapper == "net.a"


def test_a_prefix_in_several_state_dicts():
    both = {"state_dict": network("q.", 1) | network("k.", 2), "state_dict_ema": network("q.", 3) | network("k.", 4)}
    found = find_state_dict(both, "k")
    assert (found.wrapper, found.key.alternatives) == ("state_dict", ("key='state_dict_ema.k'",))
    unknown = {"one": network("q.", 1), "two": network("q.", 2)}
    with pytest.raises(CheckpointError, match=r"several state dicts \(one, two\)"):
        find_state_dict(unknown, "q")
    assert find_state_dict(unknown, "two.q").key.certainty == "told"


def test_a_key_above_several_state_dicts_leaves_them_open():
    inner = {"state": {"model": network(seed=1), "ema": network(seed=2)}, "other": network(seed=3)}
    found = find_state_dict(inner, "state")
    assert (found.wrapper, found.key.alternatives) == ("state.model", ("key='state.ema'",))


@pytest.mark.parametrize("key", ["nothing", "teacher.nothing", "state.model.conv", "mean", "lr", "state.step", "tea"])
def test_unknown_keys_are_answered_with_known_ones(key):
    with pytest.raises(CheckpointError, match="is not in the file") as caught:
        find_state_dict(root(), key)
    for known in ("student", "teacher", "state_dict_ema", "state.model", "state.dotted.key.net", "old.3"):
        assert known in str(caught.value)


def test_the_beginnings_of_names_are_listed():
    with pytest.raises(CheckpointError, match=r"Names in state_dict begin with: encoder_q, encoder_k, queue"):
        find_state_dict(moco(), "encoder_z")


@pytest.mark.parametrize("key", [3, b"teacher", ["teacher"], "." * 5 + ".".join("a" * 40)])
def test_keys_of_the_wrong_kind(key):
    with pytest.raises(CheckpointError, match="key="):
        find_by_key(root(), key)


def test_every_reader_takes_a_key(folder):
    arrays = {"a": {"w": np.ones(2)}, "b": {"x.w": np.zeros(3), "y.w": np.zeros(4)}}
    path = folder.write(pickle.dumps(arrays))
    assert list(weights.read_state_dict(path, "a")) == ["w"]
    assert weights.read_state_dict(path, key="b.y")["w"].shape == (4,)
    assert weights.inspect(path, "b").wrapper == "b"
    with pytest.raises(CheckpointError, match=r"weights\.pth: key='c' is not in the file"):
        weights.read(path, "c")
    assert "key='c' is not in the file" in str(weights.inspect(path, "c"))


def test_identities_of_two_state_dicts_in_one_file_differ(folder):
    path = folder.write(pickle.dumps({"a": {"w": np.ones(2)}, "b": {"x.w": np.zeros(3), "y.w": np.zeros(4)}}))
    settle(str(path))
    assert len({weights.read(path, key).identity for key in ("a", "b", "b.x", "b.y")}) == 4
