"""Every home's names lead to the same tensors under ours, below any prefix."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch.selection.select import select
from npresnet.arch.tensors import Tensors
from tests.arch.fabric import conv, norm, prefixed, project, without
from tests.arch.homes import layouts

# home -> (its layout, the name of its classifier after the selection)
HOMES = {
    "transformers": (layouts.transformers, "classifier.1"),
    "detectron2": (layouts.detectron2, "linear"),
    "nvidia": (layouts.nvidia, "fc"),
    "children": (layouts.children, "9"),
    "paddle.vision": (layouts.paddle_vision, "fc"),
    "old PaddleClas": (layouts.paddleclas_old, "fc"),
}
KINDS = {"basic": layouts.basic, "bottleneck": layouts.bottleneck}


def selected(tensors):
    found, decisions = select(Tensors(tensors))
    return {name: found.array(name) for name in found}, decisions


def assert_same(found, expected):
    counted = {name for name in expected if name.endswith("num_batches_tracked")}
    assert set(found) | counted == set(expected)
    for name, array in found.items():
        assert np.array_equal(array, expected[name]), name


def under(name, tensors):
    """Our tensors, the classifier under the name that it keeps."""
    return {key.replace("fc.", f"{name}."): array for key, array in tensors.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("home", HOMES)
def test_names_of_a_home(home, kind):
    layout, classifier = HOMES[home]
    ours = KINDS[kind]()
    found, decisions = selected(layout(ours))
    assert_same(found, under(classifier, ours))
    assert "ignored" not in decisions


@pytest.mark.parametrize("prefix", ["backbone.", "model.0.net.", "module."])
@pytest.mark.parametrize("home", HOMES)
def test_names_of_a_home_below_a_prefix(home, prefix):
    """The classifier may be below it too; what stands beside keeps its name."""
    layout, classifier = HOMES[home]
    ours = layouts.bottleneck()
    beside = {"gate.weight": np.ones(3, np.float32)}
    found, decisions = selected(prefixed(layout(ours), prefix) | beside)
    shift = "resnet." if home == "transformers" else ""
    assert decisions["prefix"].value == prefix + shift
    assert_same(found, under(classifier, ours) | beside)


@pytest.mark.parametrize("kind", KINDS)
def test_modules_of_a_convolution_and_its_norm_are_a_homes_below_backbone_alone(kind):
    """Hand-written networks have such names as well, and are assumptions."""
    ours = KINDS[kind]()
    theirs = layouts.mmaction(ours)
    found, decisions = selected(prefixed(theirs, "backbone."))
    assert_same(found, under("fc", ours))
    assert decisions["home"].value == "OpenMMLab"
    config = arch.build(theirs)[1]
    assert (config["home"].value, config["arch"].certainty) == ("hand-written", "ambiguous")


def test_transformers_without_their_head():
    ours = without(layouts.basic(), "fc")
    theirs = {name.removeprefix("resnet."): array for name, array in layouts.transformers(ours).items()}
    found, decisions = selected(theirs)
    assert_same(found, ours)
    assert decisions["home"].value == "Hugging Face transformers"


def test_paddles_matrices_are_transposed_square_ones_too():
    ours = layouts.basic(classes=64)
    assert ours["fc.weight"].shape == (64, 64)
    assert_same(selected(layouts.paddle_vision(ours))[0], ours)
    assert_same(selected(layouts.paddleclas_old(ours))[0], ours)


@pytest.mark.parametrize("kind", KINDS)
def test_paddleclas_numbers_its_blocks_through(kind):
    ours = KINDS[kind]()
    if kind == "basic":  # its first block has a projection too
        ours |= layouts.numbered(project("layer1.0.downsample", 8, 8), seed=1)
    assert_same(selected(layouts.paddleclas(ours))[0], ours)


def test_the_lack_of_counters_is_no_sign_of_caffe_in_a_known_home():
    for layout in (layouts.paddle_vision, layouts.paddleclas):
        assert not arch.build(layout(layouts.bottleneck()))[1].ambiguous()
    frozen = {name: a for name, a in layouts.detectron2(layouts.bottleneck()).items() if "tracked" not in name}
    assert list(arch.build(frozen)[1].ambiguous()) == ["stride_on"]
    assert list(arch.build(frozen, options={"stride_on": "1x1"})[1].ambiguous()) == []


def test_deep_stems_have_timms_names():
    """semseg and OpenMMLab."""
    stem = {}
    for place, (name, channels) in enumerate({"conv1.0": 3, "conv1.3": 4, "conv1.6": 4}.items()):
        stem |= conv(name, 8 if place == 2 else 4, channels, 3, 3)
        stem |= norm(("conv1.1", "conv1.4", "bn1")[place], 8 if place == 2 else 4)
    ours = layouts.numbered(without(without(layouts.bottleneck(), "conv1."), "bn1.") | stem)
    layer0 = {"conv1.0": "0", "conv1.1": "1", "conv1.3": "3", "conv1.4": "4", "conv1.6": "6", "bn1": "7"}
    homes = {
        "semseg": {old: f"layer0.{new}" for old, new in layer0.items()},
        "OpenMMLab": {old: f"stem.{new}" for old, new in layer0.items()},
    }
    for renamed in homes.values():
        theirs = layouts.named(ours, renamed, lambda stage, number, rest: f"layer{stage}.{number}.{rest}")
        theirs = {name if name[0] != "." else name[1:]: array for name, array in theirs.items()}
        assert_same(selected(prefixed(theirs, "backbone."))[0], ours)


def test_projections_of_openmmlabs_d_networks():
    """In the first stage the average pool is missing, and with it one number."""
    ours = {f"layer1.0.downsample.{i}.weight": np.full(3, i, np.float32) for i in (1, 2)}
    ours |= {f"layer2.0.downsample.{i}.weight": np.full(3, 5 + i, np.float32) for i in (1, 2)}
    rest = {"layer1.0.conv1.weight": np.ones((2, 2, 1, 1), np.float32)}
    stems = {"stem.6.weight": np.ones(1, np.float32)}
    theirs = {name.replace("layer1.0.downsample.1", "layer1.0.downsample.0"): array for name, array in ours.items()}
    theirs = {name.replace("layer1.0.downsample.2", "layer1.0.downsample.1"): array for name, array in theirs.items()}
    found, _ = selected(theirs | rest | stems)
    assert_same(found, ours | rest | {"conv1.6.weight": stems["stem.6.weight"]})


def test_pytorch_cifar100_says_its_stem():
    ours = layouts.basic(stem=3, classes=100)
    theirs = layouts.pytorch_cifar100(ours)
    found, decisions = selected(theirs)
    assert_same(found, ours)
    assert {name: decisions[name].value for name in ("stem_stride", "max_pool")} == {
        "stem_stride": 1,
        "max_pool": False,
    }
    network, config = arch.build(theirs)
    assert config["max_pool"].certainty == "told"
    assert config["preprocess"].certainty == "told"
    assert config.value("preprocess")["mean"][0] == pytest.approx(0.507, abs=1e-3)
    assert network["conv1"].window.stride == (1, 1)


def test_a_stem_called_layer0():
    ours = layouts.basic()
    stem = {"conv1": "layer0.0", "bn1": "layer0.1"}
    theirs = layouts.named(ours, {**stem, "fc": "fc"}, lambda stage, number, rest: f"layer{stage}.{number}.{rest}")
    assert_same(selected(theirs)[0], ours)


def test_numbered_modules_without_a_pool_or_a_relu():
    """One module less: the pool is missing, or the ReLU is a function."""
    ours = layouts.basic()
    found, decisions = selected(layouts.children(ours, first=3))
    assert_same(found, under("8", ours))
    assert decisions["max_pool"].alternatives == ("max_pool=False",)
    small = layouts.basic(stem=3)
    assert "max_pool" not in selected(layouts.children(small, first=3))[1]
    assert "max_pool" not in selected(layouts.children(ours))[1]


def test_fastais_body_and_head():
    """nn.Sequential(body, head): 0.0, 0.1, 0.4.0.conv1, ..., and 1.8."""
    ours = without(layouts.basic(), "fc")
    head = {"1.8.weight": np.ones((5, 64), np.float32)}
    found, decisions = selected(prefixed(layouts.children(ours), "0.") | head)
    assert decisions["prefix"].value == "0."
    assert_same(found, ours | head)


def test_detectron2_says_where_it_strides():
    _, config = arch.build(layouts.detectron2(layouts.bottleneck()))
    assert config.value("stride_on") == "1x1"
    assert config["stride_on"].alternatives == ("stride_on='3x3'",)
    told, _ = arch.build(layouts.detectron2(layouts.bottleneck()), options={"stride_on": "3x3"})
    assert told["layer2.0.conv2"].window.stride == (2, 2)
