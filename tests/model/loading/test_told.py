"""What a file tells beside its tensors: class names, architecture, preprocessing; key= and folders; their origins."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import warnings

import numpy as np
import pytest
from safetensors.numpy import save_file

import npresnet
from npresnet import arch
from npresnet.config import Decision
from npresnet.errors import ArchitectureError, CheckpointError
from npresnet.model.decisions import decide_preprocess
from npresnet.model.told import labels_of, preprocess_of
from tests.support.loaded import load
from tests.support.small import ARCH, batch, picture

NAMES = [f"class {i}" for i in range(10)]


PLAIN = {"max_pool": True}  # what a file without counters leaves open


@pytest.fixture(scope="module")
def others():
    """The same network with other numbers."""
    return arch.random_tensors(ARCH, num_classes=10, seed=7)


@pytest.fixture
def write(tmp_path):
    def write(value: object, name: str = "checkpoint.pkl") -> str:
        (tmp_path / name).write_bytes(pickle.dumps(value))
        return str(tmp_path / name)

    return write


def logits(path: str, **options) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with load(path, shortcut="A", **options) as model:
            return model(batch(2))


def test_key_chooses_the_network(write, bare, tensors, others, tmp_path):
    np.savez(tmp_path / "others.npz", **others)
    path = write({"outer": {"one": {f"module.{name}": array for name, array in others.items()}, "two": tensors}})
    assert np.array_equal(logits(path, key="outer.two"), logits(bare))
    assert np.array_equal(logits(path, key="outer.one"), logits(tmp_path / "others.npz"))
    with load(path, key="outer.one") as model:
        assert (model.config["key"].value, model.config["key"].origin) == ("outer.one", "caller")
    with pytest.raises(CheckpointError, match=r"several state dicts \(outer.one, outer.two\)"):
        load(path)
    with pytest.raises(CheckpointError, match=r"key='outer.three' is not in the file\. State dicts are at: outer\.one"):
        load(path, key="outer.three")


def test_key_as_a_prefix(write, bare, tensors, others):
    both = {f"q.{name}": array for name, array in others.items()} | {f"k.{n}": array for n, array in tensors.items()}
    assert np.array_equal(logits(write({"state_dict": both}), key="k"), logits(bare))


def test_an_average_is_said_aloud_until_key_is_given(write, bare, tensors, others):
    path = write({"state_dict": tensors, "state_dict_ema": others})
    with pytest.warns(npresnet.AmbiguityWarning, match="could be key='state_dict_ema'") as heard:
        assert np.array_equal(load(path)(batch(2)), logits(bare))
    assert len(heard) == 1
    assert np.array_equal(logits(path, key="state_dict"), logits(bare))
    assert not np.array_equal(logits(path, key="state_dict_ema"), logits(bare))
    logits(write({"state_dict": tensors, "state_dict_ema": dict(tensors)}))  # the same network


def test_a_plain_wrapper_is_no_decision(write, tensors):
    with load(write({"net": tensors, "epoch": 3})) as model:
        assert "key" not in model.config


def test_an_npz_keeps_which_one_it_was(write, bare, tensors, others, tmp_path):
    path = write({"state_dict": others, "state_dict_ema": tensors})
    npresnet.convert(path, tmp_path / "out.npz", key="state_dict_ema")
    assert np.array_equal(logits(tmp_path / "out.npz"), logits(bare))
    with load(tmp_path / "out.npz") as model:
        assert (model.config["key"].value, model.config["key"].origin) == ("state_dict_ema", "file")
        model.save(tmp_path / "again.npz")
    with load(tmp_path / "again.npz") as model:
        assert model.config["key"].value == "state_dict_ema"
    with pytest.warns(npresnet.AmbiguityWarning):
        npresnet.convert(path, tmp_path / "plain.npz")
    logits(tmp_path / "plain.npz")  # it holds no other, so key= has nothing to settle


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"classes": NAMES}, "classes in the file"),
        ({"class_to_idx": {name: place for place, name in enumerate(NAMES)}}, "class_to_idx in the file"),
        ({"classes": NAMES[:3], "args": argparse.Namespace(labels=NAMES)}, "args.labels in the file"),
    ],
)
def test_names_in_the_file_win_over_built_in_ones(write, tensors, value, where, tmp_path):
    path = write({"state_dict": tensors, **value})
    with load(path) as model:
        prediction = model.predict(picture())
        assert prediction.label == NAMES[prediction.index]
        decision = model.config["labels"]
        assert (decision.value, decision.origin, decision.note) == (NAMES, "file", where)
    with load(path, labels="cifar10") as model:
        assert (model.labels[0], model.config["labels"].origin) == ("airplane", "caller")
    npresnet.convert(path, tmp_path / "out.npz")
    with load(tmp_path / "out.npz") as model:
        assert model.labels == NAMES


def test_names_that_do_not_fit_leave_no_names(write, tensors, tmp_path):
    """Built-in ones would be those of other classes."""
    with load(write({"state_dict": tensors, "classes": NAMES[:4], "labels": NAMES * 2})) as model:
        decision = model.config["labels"]
        assert (decision.value, model.labels) == (None, None)
        assert "names in the file do not fit its 10 outputs: classes has 4, labels has 20" in decision.note
    seven = arch.random_tensors(ARCH, num_classes=7)
    with load(write({"state_dict": seven, "classes": NAMES}), preprocess="cifar10") as model:
        assert model.labels is None
        assert "classes has 10: classes are named by index" in model.config["labels"].note


def test_names_for_a_network_without_classifier():
    told = labels_of({"labels": NAMES, "labels_from": "classes"}, None)
    assert (told.names, told.note) == (None, "names in the file do not fit its no classifier: classes has 10")


def test_a_known_architecture_is_told(write, tensors):
    with load(write({"state_dict": tensors, "arch": ARCH})) as model:
        decision = model.config["arch"]
        assert (decision.value, decision.origin, decision.note) == (ARCH, "file", "arch in the file")


@pytest.mark.parametrize("name", ["resnet50", "resnetblur26t", "my_net"])
def test_an_architecture_that_the_tensors_do_not_have_is_noted(write, tensors, name):
    with load(write({"state_dict": tensors, "arch": name})) as model:
        decision = model.config["arch"]
        assert (decision.value, decision.origin) == (ARCH, "inferred")
        assert f"arch in the file says {name}" in decision.note
    with pytest.raises(ArchitectureError, match="does not fit"):
        load(write({"state_dict": tensors, "arch": ARCH}), arch="resnet50")


def test_a_name_that_says_more_than_tensors_can(write):
    """A network that blurs has the tensors of one that does not: its name decides, and is never dropped in silence."""
    network = arch.random_tensors("resnetblur18", num_classes=3)
    right = write({"state_dict": network, "arch": "resnetblur18"}, "right.pkl")
    wrong = write({"state_dict": network, "arch": "resnetblur50"}, "wrong.pkl")
    with load(right, **PLAIN) as model:
        assert (model.config["arch"].value, model.config["arch"].origin) == ("resnetblur18", "file")
        assert model.config["antialias"].value == "blur"
    with load(right, arch="resnet18", **PLAIN) as model:
        assert model.config["antialias"].value == "none"
    with pytest.raises(ArchitectureError, match=r"resnetblur50.*does not fit"):
        load(wrong, **PLAIN)
    with load(wrong, antialias="none", **PLAIN) as model:
        assert model.config["arch"].value == "resnet18"


def test_facts_reach_the_recognition(write, tensors, monkeypatch):
    heard = []
    build = arch.build

    def listening(*args, hints=None, **options):
        heard.append(hints)
        return build(*args, **options)

    monkeypatch.setattr(arch, "build", listening)
    load(write({"state_dict": tensors, "arch": "my_net", "labels": NAMES})).close()
    assert heard[-1]["arch"] == "my_net"
    assert heard[-1]["labels"] == NAMES


# --- folders and configurations --------------------------------------------------------------------------------------

PROCESSOR = {"do_center_crop": True, "crop_size": 24, "size": 28, "resample": 3, "image_mean": [0.5] * 3}


@pytest.fixture
def folder(tmp_path, tensors):
    """A folder as Hugging Face writes them."""
    folder = tmp_path / "published"
    folder.mkdir()
    save_file({name: np.array(array) for name, array in tensors.items()}, folder / "model.safetensors")
    return folder


def test_facts_beside_the_file_name_it(folder):
    config = {"architecture": ARCH, "label_names": NAMES}
    (folder / "config.json").write_text(json.dumps(config))
    with load(folder) as model:
        assert model.config["labels"].note == "config.json: label_names"
        assert (model.config["arch"].origin, model.config["arch"].note) == ("file", "config.json: architecture")


def test_a_folder(folder, bare):
    assert np.array_equal(logits(folder), logits(bare))
    with load(str(folder) + os.sep) as model:
        assert model.config["source"].value == "published"


def test_preprocessing_beside_the_file(folder):
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR | {"image_std": [0.25] * 3}))
    with load(folder) as model:
        decision = model.config["preprocess"]
        assert (decision.origin, decision.note) == ("file", "preprocessor_config.json")
        assert model.preprocess(picture()).shape == (1, 3, 24, 24)
        assert decision.value["interpolation"] == "bicubic"
        assert model.preprocess(np.full((40, 40, 3), 255, np.uint8)).max() == 2
    with load(folder, preprocess="V1") as model:
        assert (model.config["preprocess"].value, model.config["preprocess"].origin) == ("V1", "caller")
    with load(folder, preprocess={"crop": 20}) as model:
        assert model.config["preprocess"].value["resize"] == 28  # other fields are the file's


@pytest.mark.parametrize(
    "change", [{"image_std": [0, 0, 0]}, {"image_std": [1.0]}, {"image_std": "x"}, {"size": 10**6}]
)
def test_preprocessing_that_is_invalid_is_noted(folder, change):
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR | {"image_std": [0.25] * 3} | change))
    with load(folder) as model:
        decision = model.config["preprocess"]
        assert (decision.value, decision.origin) == ("cifar10", "default")
        assert "preprocessor_config.json was ignored" in decision.note


def test_preprocessing_for_other_channels():
    told = {"preprocess": {"mean": [0.5], "std": [0.5]}, "preprocess_from": "config.json"}
    assert preprocess_of(told, 3)[0] is None
    assert preprocess_of(told, 1)[0].channels == 1


def test_a_published_files_name_says_more_than_a_configuration():
    told = {"preprocess": {"resize": 32, "crop": 32}, "preprocess_from": "config.json"}
    published = decide_preprocess(None, None, Decision("V2", "file", "the file's name"), told)
    assert published[0] == Decision("V2", "file", "the file's name")
    assert decide_preprocess(None, None, Decision("V2", "default"), told)[1].crop == 32


CONFIG = {"model_type": "resnet", "layer_type": "bottleneck", "downsample_in_first_stage": False, "hidden_act": "relu"}


@pytest.fixture(scope="module")
def bottlenecks(tmp_path_factory):
    """A file of Bottlenecks, whose strides its tensors do not tell."""
    path = tmp_path_factory.mktemp("bottlenecks") / "model.safetensors"
    save_file({name: np.array(array) for name, array in arch.random_tensors("resnet26", num_classes=3).items()}, path)
    return path


@pytest.mark.parametrize(("is_on_1x1", "stride_on"), [(True, "1x1"), (False, "3x3")])
def test_strides_that_a_configuration_tells(bottlenecks, is_on_1x1, stride_on):
    config = bottlenecks.parent / "config.json"
    config.write_text(json.dumps(CONFIG | {"downsample_in_bottleneck": is_on_1x1}))
    with load(bottlenecks, **PLAIN) as model:
        decision = model.config["stride_on"]
        assert (decision.value, decision.origin) == (stride_on, "file")
        assert "config.json" in decision.note
        strides = {
            node.name: node.window.stride for node in model.network.nodes if node.name.startswith("layer2.0.conv")
        }
        assert strides[f"layer2.0.conv{1 if is_on_1x1 else 2}"] == (2, 2)
    with load(bottlenecks, stride_on="1x1", **PLAIN) as model:
        assert (model.config["stride_on"].value, model.config["stride_on"].origin) == ("1x1", "caller")


def test_what_a_configuration_says_and_npresnet_cannot_is_refused(bottlenecks):
    config = bottlenecks.parent / "config.json"
    config.write_text(json.dumps(CONFIG | {"downsample_in_first_stage": True}))
    with pytest.raises(ArchitectureError, match="downsample_in_first_stage"):
        load(bottlenecks)
    config.write_text(json.dumps(CONFIG | {"hidden_act": "no_such_function"}))
    with pytest.raises(ArchitectureError, match="no_such_function"):
        load(bottlenecks)


def test_shards(tmp_path, tensors, bare):
    names = list(tensors)
    parts = {"model-1.safetensors": names[:40], "model-2.safetensors": names[40:]}
    for file, part in parts.items():
        save_file({name: np.array(tensors[name]) for name in part}, tmp_path / file)
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    for path in (tmp_path, tmp_path / "model.safetensors.index.json"):
        assert np.array_equal(logits(path), logits(bare))
    npresnet.convert(tmp_path, tmp_path / "one.npz")
    assert np.array_equal(logits(tmp_path / "one.npz"), logits(bare))


def test_a_folder_of_a_models_name(folder, monkeypatch, bare):
    """It wins over the name where it holds weights; else the name is meant."""
    os.rename(folder, folder.parent / "resnet18")
    monkeypatch.chdir(folder.parent)
    assert np.array_equal(logits("resnet18"), logits(bare))
    (folder.parent / "resnet34").mkdir()
    with pytest.raises(CheckpointError, match="resnet34-b627a593"):
        load("resnet34")  # tries to download
    (folder.parent / "nothing").mkdir()
    with pytest.raises(CheckpointError, match=r"a folder without model\.safetensors"):
        load("nothing")
