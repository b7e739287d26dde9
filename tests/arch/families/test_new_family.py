"""A new family is one module and its entry in FAMILIES: no other module changes."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import npresnet
from npresnet import arch, ops
from npresnet.arch import families
from npresnet.arch.family import Reading
from npresnet.arch.homes import tables
from npresnet.arch.homes.home import Home
from npresnet.arch.options import COMMON, Option, is_whole
from npresnet.config import Decision
from npresnet.errors import ArchitectureError
from npresnet.window import Window

NAME = "toy"
ARCHS = {"toy4": {"width": 4}, "toy6": {"width": 6}}
OPTIONS = {
    "width": Option(is_whole, "a whole number from 1 on", "size"),
    "pace": Option(is_whole, "a whole number from 1 on", "free"),
}

named = ARCHS.get


def signature(tensors):
    return "trunk.weight" in tensors


def read(tensors):
    width, in_channels = (tensors.length("trunk.weight", axis, ndim=4) for axis in (0, 1))
    decisions = {
        "arch": Decision(
            next((name for name, options in ARCHS.items() if options["width"] == width), "toy"), "inferred"
        ),
        "family": Decision(NAME, "inferred"),
        "num_classes": Decision(tensors.length("score.weight", 0, ndim=2), "inferred"),
        "in_channels": Decision(in_channels, "inferred"),
        "width": Decision(width, "inferred"),
        "pace": Decision(1, "default"),
        "preprocess": Decision("cifar10", "default"),
        "labels": Decision(None, "default"),
    }
    return Reading(decisions, {"eps": 1e-5})


def build(builder, options):
    window = Window.of(3, stride=options.get("pace", 1), padding=1)
    x = builder.conv("trunk", "input", options["width"], window)
    x = builder.batch_norm("trunk_norm", x, eps=options.get("eps", 1e-5))
    x = builder.relu("trunk_relu", x)
    x = builder.flatten("flatten", builder.global_avg_pool("pool", x))
    return {"logits": builder.linear("score", x, options["num_classes"])}


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setattr(families, "FAMILIES", (*families.FAMILIES, sys.modules[__name__]))


def test_it_is_listed_initialised_recognised_and_run(tmp_path):
    assert arch.list_archs()[-2:] == ["toy4", "toy6"]
    tensors = arch.random_tensors("toy6", num_classes=3, seed=1)
    assert list(tensors)[:2] == ["trunk.weight", "trunk_norm.weight"]
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 9), np.float32)
    expected = ops.run(arch.build(tensors)[0], x)["logits"]
    with npresnet.build("toy6", num_classes=3, seed=1) as model:
        assert (model.config.value("arch"), model.config.value("family")) == ("toy6", "toy")
        np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-6)
        model.save(tmp_path / "toy.npz")
    with npresnet.load(tmp_path / "toy.npz") as loaded:
        assert loaded.config["arch"] == Decision("toy6", "file")
        np.testing.assert_allclose(loaded(x), expected, rtol=1e-5, atol=1e-6)


def test_its_options_are_its_own():
    tensors = arch.random_tensors("toy4", num_classes=3)
    network, config = arch.build(tensors, options={"pace": 2, "width": 4})
    assert network["trunk"].window.stride == (2, 2)
    assert (config["pace"], config["width"]) == (Decision(2, "caller"), Decision(4, "caller"))
    assert arch.random_tensors("toy4", num_classes=3, width=9)["trunk.weight"].shape == (9, 3, 3, 3)
    refused = {
        "not supported for networks of the family toy": {"stride_on": "1x1"},
        "contradicts the tensors": {"width": 5},
        "must be a whole number": {"pace": 0},
        "unknown option": {"speed": 1},
    }
    for words, options in refused.items():
        with pytest.raises(ArchitectureError, match=words):
            arch.build(tensors, options=options)
    with pytest.raises(ArchitectureError, match="not supported for networks of the family torchvision"):
        arch.build(arch.random_tensors("resnet10", num_classes=2), options={"pace": 2})
    with pytest.raises(ArchitectureError, match="toy4 fixes family"):
        arch.random_tensors("toy4", family="toy")
    assert set(COMMON) < set(arch.OPTIONS)


def test_names_of_families_are_distinguished():
    tensors = arch.random_tensors("toy4", num_classes=3)
    assert arch.build(tensors, arch="toy4")[1]["arch"].origin == "caller"
    for name, words in (("toy6", r"(?s)toy6  family toy, width 6.*width 4"), ("resnet18", "family torchvision")):
        with pytest.raises(ArchitectureError, match=words):
            arch.build(tensors, arch=name)


def test_whole_shapes_and_leftovers_are_checked():
    tensors = arch.random_tensors("toy4", num_classes=3)
    tensors["trunk.weight"] = np.ones((4, 3, 3, 5), np.float32)
    with pytest.raises(ArchitectureError, match=r"trunk\.weight has shape \(4, 3, 3, 5\), expected \(4, 3, 3, 3\)"):
        arch.build(tensors)
    tensors = arch.random_tensors("toy4", num_classes=3) | {"gate": np.ones(2, np.float32)}
    with pytest.raises(ArchitectureError, match=r"gate \(2,\)"):
        arch.build(tensors)


def test_what_a_home_implies_counts_only_for_a_family_that_has_the_option(monkeypatch):
    home = Home(r"^tracker", left_out=r"^tracker", implied={"max_pool": False, "pace": 2}, where=r"^trunk\.")
    monkeypatch.setattr(tables, "HOMES", (home,))
    tensors = arch.random_tensors("toy4", num_classes=3) | {"tracker.mean": np.ones(1, np.float32)}
    _, config = arch.build(tensors)
    assert config["pace"] == Decision(2, "inferred")
    assert (config.value("ignored"), "max_pool" in config) == ("tracker.mean", False)
