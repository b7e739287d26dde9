"""Facts: what a checkpoint says about its network beside the tensors."""

from __future__ import annotations

import argparse
import json
import pickle
import time
import types

import numpy as np
import pytest
import torch
from safetensors.numpy import save as save_safetensors

from npresnet import weights
from npresnet.weights.facts import Facts, collect
from npresnet.weights.inert import Global, Inert
from tests.weights.test_torch_zip import saved

NAMES = ["ants", "bees", "cats", "dogs"]
STATE = {"fc.weight": torch.ones(4, 2)}


def facts_of(folder, value: dict) -> dict:
    return weights.read(folder.write(saved(value))).facts


class Attributes(dict):
    """Lightning's AttributeDict: a dict of a class that is not installed."""


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"classes": NAMES}, "classes"),
        ({"class_names": tuple(NAMES)}, "class_names"),
        ({"class_to_idx": {name: place for place, name in enumerate(NAMES)}}, "class_to_idx"),
        ({"idx_to_class": dict(enumerate(NAMES))}, "idx_to_class"),
        ({"labels": NAMES}, "labels"),
        ({"names": dict(enumerate(NAMES))}, "names"),
        ({"meta": {"CLASSES": tuple(NAMES), "epoch": 3}}, "meta.CLASSES"),
        ({"meta": {"dataset_meta": {"classes": NAMES}}}, "meta.dataset_meta.classes"),
        ({"hyper_parameters": {"class_names": NAMES, "lr": 0.1}}, "hyper_parameters.class_names"),
        ({"hyper_parameters": argparse.Namespace(labels=NAMES)}, "hyper_parameters.labels"),
        ({"hyper_parameters": types.SimpleNamespace(labels=NAMES)}, "hyper_parameters.labels"),
        ({"hparams": Attributes(classes=NAMES)}, "hparams.classes"),
        ({"args": argparse.Namespace(config={"classes": NAMES})}, "args.config.classes"),
        ({"config": {"id2label": {str(k): name for k, name in enumerate(NAMES)}}}, "config.id2label"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_class_names(folder, value, where, protocol):
    path = folder.write(saved({"epoch": 1, "weights": STATE, **value}, pickle_protocol=protocol))
    facts = weights.read(path).facts
    assert (facts["labels"], facts["labels_from"]) == (NAMES, where)


def test_names_beside_an_inner_state_dict_come_first(folder):
    facts = facts_of(folder, {"classes": ["x"], "outer": {"state_dict": STATE, "labels": NAMES}})
    assert (facts["labels"], facts["labels_from"]) == (NAMES, "labels")
    assert facts["more_labels"] == [("classes", ["x"])]


def test_names_among_the_tensors(folder):
    assert facts_of(folder, STATE | {"classes": NAMES})["labels"] == NAMES


@pytest.mark.parametrize(
    ("value", "arch", "where"),
    [
        ({"arch": "resnetblur50"}, "resnetblur50", "arch"),
        ({"arch": "resnet", "args": argparse.Namespace(model="resnet26d", num_classes=4)}, "resnet26d", "args.model"),
        ({"args": argparse.Namespace(arch="wide_resnet50_2")}, "wide_resnet50_2", "args.arch"),
        ({"hyper_parameters": {"backbone": "resnet34"}}, "resnet34", "hyper_parameters.backbone"),
        ({"hyper_parameters": {"model_name": "timm/resnet50.a1_in1k"}}, "resnet50", "hyper_parameters.model_name"),
        ({"config": {"encoder_name": "tu-resnet18"}}, "resnet18", "config.encoder_name"),
        ({"model": "se_resnet50", "weights": STATE}, "se_resnet50", "model"),
    ],
)
def test_architectures(folder, value, arch, where):
    facts = facts_of(folder, {"weights": STATE, **value})
    assert (facts["arch"], facts["arch_from"]) == (arch, where)


@pytest.mark.parametrize("name", ["", "resnet", "a b", "x" * 300, "res\x1bnet", 50, None, b"resnet50", ["resnet50"]])
def test_what_is_no_architecture(folder, name):
    assert "arch" not in facts_of(folder, {"weights": STATE, "arch": name})


def test_number_of_classes(folder):
    facts = facts_of(folder, {"weights": STATE, "args": argparse.Namespace(num_classes=4, classes=4)})
    assert (facts["num_classes"], facts["num_classes_from"]) == (4, "args.num_classes")
    assert "labels" not in facts


def test_plain_files_tell_nothing(folder):
    assert facts_of(folder, STATE) == facts_of(folder, {"state_dict": STATE}) == {}
    found = weights.read(folder.write(saved({"state_dict": STATE, "epoch": 3, "best_acc1": 71.2, "optimizer": {}})))
    assert (found.facts, found.notes) == ({}, [])


def test_omegaconf_nodes():
    """Their values are the `_val` of inert nodes below `_content`; nothing is imported."""

    def node(value: object) -> Inert:
        made = Inert(Global("omegaconf.nodes", "AnyNode"))
        made.build({"_val": value, "_parent": None})
        return made

    def config(content: dict) -> Inert:
        made = Inert(Global("omegaconf.dictconfig", "DictConfig"))
        made.build({"_content": content, "_metadata": None})
        return made

    around = [{"hyper_parameters": config({"model_name": node("resnet34"), "args": config({"num_classes": node(4)})})}]
    facts, notes = collect(around, {}, ["w.ckpt"])
    assert (facts["arch"], facts["num_classes"], notes) == ("resnet34", 4, [])


@pytest.mark.parametrize("value", [[1, 2, 3], {"ants": 0, "bees": 5}, ["ants", {"a": 1}], ["\x1b[2J"], {"a": {"b": 1}}])
def test_malformed_names_are_noted(folder, value):
    found = weights.read(folder.write(saved({"weights": STATE, "meta": {"classes": value}, "labels": NAMES})))
    assert found.facts["labels"] == NAMES
    assert len(found.notes) == 1
    assert found.notes[0].startswith("meta.classes (")
    assert "\x1b" not in found.notes[0]


def test_metadata_of_safetensors(folder):
    strings = {"format": "pt", "arch": "resnet26d", "classes": json.dumps(NAMES), "id2label": "{broken", "args": "[[["}
    found = weights.read(folder.write(save_safetensors({"w": np.ones((4, 2), "f4")}, strings)))
    assert (found.facts["labels"], found.facts["arch"]) == (NAMES, "resnet26d")
    assert found.facts["labels_from"] == "metadata classes"


def test_namespaces_that_refer_to_each_other():
    circle: dict = {"classes": [1]}
    circle |= dict.fromkeys(("args", "meta", "config", "opt", "hparams"), circle)
    deep = circle
    for _ in range(5000):
        deep = {"args": deep, "classes": NAMES}
    start = time.perf_counter()
    assert collect([circle, deep], {}, ["w.pth"])[0]["labels"] == NAMES
    assert time.perf_counter() - start < 1


def test_an_enormous_list_under_many_keys():
    enormous = dict.fromkeys(range(300_000), "x")
    start = time.perf_counter()
    facts, notes = collect([{"args": {"classes": enormous}, "classes": enormous, "names": enormous}], {}, ["w.pth"])
    assert (facts, len(notes)) == ({}, 3)
    assert time.perf_counter() - start < 1


def test_the_first_fact_of_a_kind_counts():
    facts = Facts()
    facts.say_arch("resnet26", "here")
    facts.say_arch("resnet34", "there")
    assert facts.result()[0] == {"arch": "resnet26", "arch_from": "here"}


def test_inspect_lists_facts(folder):
    text = str(weights.inspect(folder.write(saved({"weights": STATE, "arch": "resnet26d", "labels": NAMES}))))
    assert "arch: resnet26d" in text
    assert "labels: ['ants', 'bees', 'cats', 'dogs']" in text


def test_nothing_is_imported(folder):
    """A namespace of a module that would fail to import."""
    state = {"classes": NAMES}
    raw = pickle.dumps({"weights": {"w": np.ones(2)}, "args": argparse.Namespace(**state)}, 2)
    raw = raw.replace(b"cargparse\nNamespace\n", b"cno_such_module\nNamespace\n")
    assert b"no_such_module" in raw
    assert weights.read(folder.write(raw)).facts["labels"] == NAMES
