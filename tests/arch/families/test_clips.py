"""What the families of networks for clips read from tensors, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch import families
from npresnet.arch.families import detect_and_track, resnet3d, torchvision, video
from npresnet.arch.family import assemble
from npresnet.arch.initialiser import Initialiser
from npresnet.arch.tensors import Tensors
from npresnet.errors import ArchitectureError
from tests.support.clips import tiny_tensors


def tiny_video(kind: str = "3d", **options) -> dict[str, np.ndarray]:
    """Random weights of torchvision's topology with one narrow block in each of two stages."""
    source = Initialiser(0)
    widths = {f"layer{i}.0.conv{k}": (6, 8 * i) if kind == "2+1d" else (8 * i,) for i in (1, 2) for k in (1, 2)}
    stem = {"stem": (5, 8) if kind == "2+1d" else (8,)}
    given = {"layers": [1, 1], "convolutions": [kind] * 2, "stem_convolution": "2+1d" if kind == "2+1d" else "3d"}
    assemble(video, source, {**given, "widths": widths | stem, "in_channels": 3, "num_classes": 4, **options})
    return source.tensors


@pytest.mark.parametrize("kind", video.KINDS)
def test_kinds_of_convolutions_are_read(kind):
    network, config = arch.build(tiny_video(kind))
    assert (config.value("family"), config.value("convolutions")) == ("video", [kind] * 2)
    assert config["preprocess"].value == "kinetics"
    strides = {node.name: node.window.stride for node in network if node.op == "conv3d" and node.name[:6] == "layer2"}
    if kind == "2+1d":
        assert strides["layer2.0.conv1.0.0"] == (1, 2, 2)
        assert strides["layer2.0.conv1.0.3"] == (2, 1, 1)
    else:
        assert strides["layer2.0.conv1.0"] == ((2, 2, 2) if kind == "3d" else (1, 2, 2))
    assert strides["layer2.0.downsample.0"] == ((1, 2, 2) if kind == "2d" else (2, 2, 2))


@pytest.mark.parametrize("name", ["r3d_18", "mc3_18", "r2plus1d_18"])
def test_torchvisions_numbers_of_parameters(name):
    """From the table of its weights, https://pytorch.org/vision/stable/models.html."""
    tensors = arch.random_tensors(name, num_classes=400)
    counts = {"r3d_18": 33371472, "mc3_18": 11695440, "r2plus1d_18": 31505325}
    trained = (array.size for key, array in tensors.items() if "running" not in key and "tracked" not in key)
    assert sum(trained) == counts[name]
    assert arch.build(tensors, arch=name)[1].value("arch") == name


def test_only_one_family_takes_each():
    for tensors, family in (
        (tiny_video(), video),
        (tiny_tensors(), resnet3d),
        (arch.random_tensors("resnet18"), torchvision),
        (arch.random_tensors("detectandtrack_resnet18_conv4"), detect_and_track),
    ):
        found = [one for one in families.FAMILIES if one.signature(Tensors(tensors))]
        assert [one.NAME for one in found] == [family.NAME]


def test_named_depths():
    for name, blocks in (("resnet34_3d", [3, 4, 6, 3]), ("medicalnet_resnet10", [1, 1, 1, 1])):
        assert resnet3d.named(name)["layers"] == blocks
    assert detect_and_track.named("detectandtrack_resnet34_conv4")["layers"] == [3, 4, 6]
    assert video.named("r3d_34") is resnet3d.named("resnet19_3d") is detect_and_track.named("resnet18") is None
    for family in (video, resnet3d, detect_and_track):
        assert family.named(family.ANY) == {}
        assert all(family.named(name) for name in family.ARCHS)


def test_a_name_that_does_not_fit_is_refused():
    with pytest.raises(ArchitectureError, match="arch='r3d_18', given by the caller, does not fit the tensors"):
        arch.build(tiny_video(), arch="r3d_18")
    with pytest.raises(ArchitectureError, match="option layers"):
        arch.build(tiny_tensors(), options={"layers": [3, 4, 6, 3]})


def test_volumes_of_one_channel_are_medicalnets_or_say_otherwise():
    tensors = tiny_tensors(in_channels=1, layers=[1, 1, 1, 1], conv1_t_stride=2, output_stride=8)
    network, config = arch.build(tensors)
    assert config.ambiguous().keys() == {"output_stride"}
    assert network["layer4.0.conv1"].window.dilation == (4, 4, 4)
    assert config["preprocess"].value is None
    network, config = arch.build(tensors, options={"output_stride": 32, "conv1_t_stride": 1})
    assert not config.ambiguous()
    assert network["layer4.0.conv1"].window.stride == (2, 2, 2)
    assert network["conv1"].window.stride == (1, 2, 2)


def without(tensors: dict[str, np.ndarray], *names: str) -> dict[str, np.ndarray]:
    return {name: array for name, array in tensors.items() if name not in names}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (lambda: tiny_video() | {"layer3.1.conv1.0.weight": np.ones((8, 8, 3, 3, 3), np.float32)}, "without gaps"),
        (lambda: tiny_video() | {"extra.weight": np.ones(3, np.float32)}, "none of the network's layers reads: extra"),
        (lambda: without(tiny_video(), "layer1.0.conv2.1.running_var"), "layer1.0.conv2.1.running_var is missing"),
        (lambda: tiny_video() | {"stem.0.weight": np.ones((8, 3, 2, 7, 7), np.float32)}, "odd sides"),
        (
            lambda: tiny_tensors() | {"layer2.0.conv1.weight": np.ones((16, 8, 3, 3), np.float32)},
            "layer2.0.conv1.weight has shape",
        ),
        (
            lambda: tiny_tensors(layers=[1, 1, 1, 1]) | FIFTH,
            "four stages",
        ),
        (lambda: without(arch.random_tensors(BODY), "res3_0_branch1_w"), "res3_0_branch1_w is missing"),
        (lambda: without(arch.random_tensors(BODY), "res3_0_branch1_bn_b"), "res3_0_branch1_bn_b is missing"),
        (
            lambda: {n: a for n, a in arch.random_tensors(BODY).items() if not n.startswith("res3_0_")},
            "must be numbered without gaps",
        ),
        (lambda: {n: a for n, a in arch.random_tensors(BODY).items() if n[:4] != "res4"}, "a body has the stages"),
    ],
)
def test_files_that_are_no_network_are_refused(tensors, message):
    with pytest.raises(ArchitectureError, match=message):
        arch.build(tensors())


BODY = "detectandtrack_resnet18_conv4"
FIFTH = {"layer5.0.conv1.weight": np.ones((8, 8, 3, 3, 3), np.float32)}


def test_errors_show_the_axis_of_time():
    broken = tiny_tensors() | {"layer1.0.conv1.weight": np.ones((8, 4, 3, 3, 3), np.float32)}
    with pytest.raises(ArchitectureError) as caught:
        arch.build(broken)
    text = str(caught.value)
    for part in ("kernel_time", "input   (N, 8, T, H, W)", "through a 3x3x3 window"):
        assert part in text
