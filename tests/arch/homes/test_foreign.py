"""Known unsupported families are refused by name; no supported network is mistaken for one of them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch.homes.foreign import FOREIGN
from npresnet.arch.selection import are_plain, refuse_foreign
from npresnet.arch.tensors import Tensors
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net, bottleneck_net, conv, project, without


def array(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


DOWN = "layer2.0.downsample"
CASES = {
    "SK-ResNet": bottleneck_net() | conv("layer1.0.conv2.paths.0.conv", 4, 4, 3, 3),
    "ResNeSt": bottleneck_net() | conv("layer1.0.conv2.fc1", 2, 4, 1, 1),
    "CBAM": basic_net() | conv("layer1.0.ca.fc1", 2, 8, 1, 1),
    "hybrid": {"stages.0.blocks.0.norm1.weight": array(8), "stem.conv.weight": array(8, 3, 7, 7)},
    "Hugging Face": {"resnet.embedder.embedder.convolution.weight": array(8, 3, 7, 7)},
    "Caffe2": {"conv1_w": array(8, 3, 7, 7), "res2_0_branch2a_w": array(8, 8, 1, 1)},
    "Detectron": {"stem.conv1.weight": array(8, 3, 7, 7), "res2.0.shortcut.weight": array(8, 8, 1, 1)},
    "video": basic_net() | {"conv1.weight": array(8, 3, 1, 7, 7)},
    "video network": {"stem.0.weight": array(8, 3, 3, 7, 7)},
    "Keras": {"conv1_conv/kernel:0": array(7, 7, 3, 8)},
    "pytorch-cifar100": {"conv1.0.weight": array(8, 3, 3, 3), "conv2_x.0.residual_function.0.weight": array(8, 8, 3)},
    "faces": basic_net(stem=3) | {"prelu.weight": array(8)},
    "ONNX": {"onnx::Conv_193": array(8, 3, 7, 7)},
    "CLIP": basic_net() | {"visual.attnpool.positional_embedding": array(50, 8)},
    "quantised": basic_net() | {"conv1.scale": array(1)},
    "pruned": without(basic_net(), "conv1") | {"conv1.weight_orig": array(8, 3, 7, 7)},
    "Sequential(*model.children())": {"0.weight": array(8, 3, 7, 7), "4.0.conv1.weight": array(8, 8, 3, 3)},
    "vision transformer": {"patch_embed.proj.weight": array(8, 3, 16, 16)},
    "VGG": {"features.0.weight": array(8, 3, 3, 3)},
    "YOLO": {"model.22.cv1.weight": array(8, 8, 1, 1)},
    "language model": {"model.embed_tokens.weight": array(8, 8)},
}


@pytest.mark.parametrize("family", CASES)
def test_refused_by_name(family):
    with pytest.raises(ArchitectureError) as caught:
        arch.build(CASES[family])
    assert family in str(caught.value)
    assert "not supported" in str(caught.value)


def test_a_better_remedy_is_given():
    with pytest.raises(ArchitectureError, match=r"rename 0 to conv1, 1 to bn1, 4 to layer1"):
        arch.build(CASES["Sequential(*model.children())"])


SUPPORTED = {
    "basic": basic_net(),
    "bottleneck": bottleneck_net(),
    "option A": basic_net((1, 1), stem=3, projection=None),
    "shortcut": basic_net(stem=3, projection="shortcut", head="linear"),
    "hand-written": bottleneck_net(projection="shortcut"),
    "no classifier": bottleneck_net(head=None),
    "a projection where none is needed": basic_net() | project("layer1.0.downsample", 8, 8),
}


@pytest.mark.parametrize("name", SUPPORTED)
def test_supported_nets_are_not_refused(name):
    refuse_foreign(Tensors(SUPPORTED[name]))
    arch.build(SUPPORTED[name])


@pytest.mark.parametrize("name", arch.list_archs())
def test_no_name_of_ours_is_refused(name):
    tensors = {key: np.empty(1, np.float32) for key in _names_of(name)}
    refuse_foreign(Tensors(tensors))


def _names_of(name: str) -> list[str]:
    """All tensor names, without allocating the numbers, from the pattern of the smallest network."""
    smallest = arch.random_tensors("resnet14" if "0" in name else "resnet10", num_classes=2)
    return [re.sub(r"^(layer\d)\.0", rf"\1.{j}", key) for key in smallest for j in (0, 35)]


def test_no_family_is_found_in_torchvisions_names():
    """So that `are_plain` may skip every pattern."""
    parts = ("conv1", "fc", "bn1", *(f"layer{n}.{m}.{part}" for n in (1, 10) for m in (0, 23) for part in PARTS))
    roles = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = [f"{part}.{role}" for part in parts for role in roles]
    plain = [name for name in names if are_plain([name])]
    assert len(plain) > len(names) / 2
    patterns = [row.pattern for row in FOREIGN if row.by_name_alone]
    assert len(patterns) > 20
    assert not [(pattern, name) for pattern in patterns for name in plain if re.search(pattern, name)]


PARTS = ("conv1", "conv2", "conv9", "bn1", "bn3", "downsample.0", "downsample.1")


@pytest.mark.parametrize(
    "name", ["conv1.0.weight", "layer1.0.se.weight", "xconv1.weight", "conv1.weight\n", "module.fc.bias"]
)
def test_other_names_are_not_plain(name):
    assert not are_plain(["conv1.weight", name])
