"""Unsupported networks are refused by their own family's name, or by none; no supported network is mistaken for one."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch.homes.foreign import FOREIGN
from npresnet.arch.selection import refusals
from npresnet.arch.selection.select import are_plain, select
from npresnet.arch.tensors import Tensors
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net, bottleneck_net, norm, project, without
from tests.support.torchvision_import import import_timm, import_torchvision


def array(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def regnet_block(name: str, channels: int, before: int) -> dict[str, np.ndarray]:
    """A Bottleneck that does not widen, in groups of 8 channels."""
    sides = {"conv1": (before, 1), "conv2": (8, 3), "conv3": (channels, 1), "downsample.0": (before, 1)}
    found = {f"{name}.{conv}.weight": array(channels, seen, side, side) for conv, (seen, side) in sides.items()}
    for at in ("bn1", "bn2", "bn3", "downsample.1"):
        found |= norm(f"{name}.{at}", channels)
    return found


# Networks of other repositories, by the names that tell.
NAMES = {
    "bilinear attention": {"stages.0.0.attn.ba.conv_p.weight": array(8, 2, 8, 1)},
    "BiT": {"root_block.conv.weight": array(64, 3, 7, 7), "block1.unit01.conv1.weight": array(64, 64, 1, 1)},
    "Keras": {"conv1.kernel": array(7, 7, 3, 8), "res2a_branch2a.kernel": array(1, 1, 8, 8)},
    "ONNX": {"onnx::Conv_193": array(8, 3, 7, 7)},
    "a quantised network": {"conv1.zero_point": array(1), "fc._packed_params._packed_params": array(1)},
    "YOLO": {"model.22.cv1.weight": array(8, 8, 1, 1)},
    "a language model": {"model.embed_tokens.weight": array(8, 8)},
    "ConvNeXt": {"stages.0.0.pwconv1.weight": array(8, 8)},
    "adapters": {"fc.base_layer.weight": array(5, 8), "fc.lora_A.default.weight": array(2, 8)},
    "arrays without names": {"arr_0": array(8, 3, 7, 7), "arr_1": array(8)},
    "temporal shifts": {f"base_model.{n}".replace("1.0.conv1", "1.0.conv1.net"): a for n, a in basic_net().items()},
    "pycls": {"s1.b1.f.a.weight": array(8, 8, 1, 1), "head.fc.weight": array(2, 8)},
    "RegNet": {"_feature_blocks.block1.block1-0.proj.weight": array(8, 8, 1, 1), "head.weight": array(2, 8)},
    "equal groups": {
        **basic_net(stem=3, head=None),
        **regnet_block("layer1.0", 16, 8),
        **regnet_block("layer2.0", 32, 16),
        **regnet_block("layer3.0", 64, 32),
        **regnet_block("layer4.0", 128, 64),
    },
    "VGG": {"teacher.features.0.weight": array(8, 3, 3, 3), "teacher.classifier.0.weight": array(2, 8)},
    "video network": {"features.0.weight": array(8, 3, 3, 7, 7)},
}


MODULES = (("conv", "convolution"), ("bn", "normalization"))  # ours, and those of transformers


@pytest.mark.parametrize("family", NAMES)
def test_refused_by_name(family):
    with pytest.raises(ArchitectureError, match="not supported") as caught:
        arch.build(NAMES[family])
    assert family in str(caught.value)
    assert re.search("list_archs|float weights|Merge them|Save them", str(caught.value))


@pytest.mark.parametrize("name", ["conv1", "conv", "stem.0", "model.conv1", "first_block_conv.conv", "encoder.conv_1"])
def test_networks_of_signals_are_named(name):
    signal = {f"{name}.weight": array(8, 12, 15), "layer1.0.conv1.weight": array(8, 8, 3), "fc.weight": array(2, 8)}
    with pytest.raises(ArchitectureError, match="1-D convolutions"):
        arch.build(signal)


def test_a_gate_over_channels_is_no_network_of_signals():
    tensors = basic_net() | {"layer1.0.se.conv.weight": array(1, 1, 3), "layer9.conv.weight": array(1, 1, 3)}
    with pytest.raises(ArchitectureError) as caught:
        arch.build(tensors)
    assert "1-D" not in str(caught.value)


def test_regnets_of_transformers_are_named():
    """Their names are those of its ResNets, below another module."""
    names = (("^conv1", "embedder.embedder.convolution"), ("^bn1", "embedder.embedder.normalization"))
    names += tuple((rf"^layer{i}\.", f"encoder.stages.{i - 1}.layers.") for i in (1, 2, 3, 4))
    names += tuple((rf"\.{old}{k}\.", f".layer.{k - 1}.{new}.") for k in (1, 2, 3) for old, new in MODULES)
    names += ((r"\.downsample\.0", ".shortcut.convolution"), (r"\.downsample\.1", ".shortcut.normalization"))
    tensors = bottleneck_net(groups=2)
    for old, new in names:
        tensors = {re.sub(old, new, name): array for name, array in tensors.items()}
    resnet = {f"resnet.{name}".replace("resnet.fc", "classifier.1"): array for name, array in tensors.items()}
    _, config = arch.build(resnet)
    assert config.value("home") == "Hugging Face transformers"
    with pytest.raises(ArchitectureError, match="RegNet"):
        arch.build({name.replace("resnet.", "regnet."): array for name, array in resnet.items()})


@pytest.mark.parametrize("stage", ["stages.0.0", "convnext.encoder.stages.0.layers.1", "encoder.stages.2.0"])
def test_convnext_under_other_names(stage):
    with pytest.raises(ArchitectureError, match="ConvNeXt"):
        arch.build({f"{stage}.dwconv.weight": array(8, 1, 7, 7), f"{stage}.pwconv1.weight": array(32, 8)})


# timm's and torchvision's: the family's name in the message, "" where only the nearest one can be said.
ARCHITECTURES = {
    "timm": {
        "beit_base_patch16_224": "vision transformer",
        "botnet26t_256": "byoanet",
        "repvgg_a0": "RepVGG",
        "regnetz_b16": "RegNetZ",
        "darknet17": "cross-stage",
        "coatnet_0_224": "CoAtNet",
        "convnext_atto": "ConvNeXt",
        "csatv2": "",
        "dla34": "DLA",
        "efficientnet_b0": "EfficientNet",
        "fastvit_t8": "FastViT",
        "fasternet_t0": "FasterNet",
        "ghostnet_050": "GhostNet",
        "mambaout_femto": "",
        "mobilenetv3_small_050": "MobileNet",
        "mobilevit_xxs": "MobileViT",
        "poolformer_s12": "PoolFormer",
        "regnety_002": "RegNet",
        "repvit_m0_9": "RepViT",
        "rexnet_100": "RexNet",
        "starnet_s1": "",
        "swin_tiny_patch4_window7_224": "Swin Transformer",
        "vgg11": "VGG",
        "vit_tiny_patch16_224": "vision transformer",
        "vit_small_r26_s32_224": "hybrid",
        "ese_vovnet19b_slim": "VoVNet",
        "xception41": "Xception",
    },
    "torchvision": {
        "densenet121": "DenseNet",
        "convnext_tiny": "ConvNeXt",
        "efficientnet_b0": "EfficientNet",
        "googlenet": "GoogLeNet",
        "mobilenet_v2": "MobileNet",
        "s3d": "video network",
        "shufflenet_v2_x0_5": "ShuffleNet",
        "squeezenet1_0": "SqueezeNet",
        "swin_t": "Swin Transformer",
        "vit_b_16": "vision transformer",
    },
}
FAMILY = r"this looks like"


@pytest.mark.parametrize(("home", "name"), [(home, name) for home, names in ARCHITECTURES.items() for name in names])
def test_architectures_are_refused_by_their_own_name(home, name):
    word = ARCHITECTURES[home][name]
    with pytest.raises(ArchitectureError) as caught:
        arch.build(_tensors(home, name))
    message = str(caught.value)
    if word:
        assert FAMILY in message
        assert word in message
    else:
        assert FAMILY not in message
        assert "unknown" in message


def test_one_buffer_called_scale_does_not_mean_a_quantised_network():
    with pytest.raises(ArchitectureError) as caught:
        arch.build(basic_net() | {"layer1.0.scale": array(1)})
    assert "layer1.0.scale" in str(caught.value)
    assert "quantised" not in str(caught.value)


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
    assert refusals.foreign(Tensors(SUPPORTED[name])) is None
    arch.build(SUPPORTED[name])


def test_rows_are_asked_for_only_where_no_network_can_be_built(monkeypatch):
    """So a family that becomes supported needs no care: even a row that fits everything changes nothing."""
    monkeypatch.setattr("npresnet.arch.homes.foreign.FOREIGN", (FOREIGN[0]._replace(network="anything", pattern=""),))
    arch.build(basic_net())
    with pytest.raises(ArchitectureError, match="this looks like anything"):
        arch.build(without(basic_net(), "conv1."))


PARTS = ("conv1", "conv2", "conv9", "bn1", "bn3", "downsample.0", "downsample.1")


@pytest.mark.parametrize(
    "name", ["conv1.0.weight", "layer1.0.se.weight", "xconv1.weight", "conv1.weight\n", "module.fc.bias"]
)
def test_other_names_are_not_plain(name):
    assert not are_plain(["conv1.weight", name])


@functools.cache
def _tensors(home: str, name: str) -> dict[str, np.ndarray]:
    """Names and shapes only: every number is one and the same zero."""
    import torch

    with torch.device("meta"):
        if home == "timm":
            module = import_timm().create_model(name, pretrained=False)
        else:
            module = import_torchvision().models.get_model(name, weights=None)
    return {key: np.broadcast_to(np.float32(0), tuple(t.shape)) for key, t in module.state_dict().items()}


def test_plain_names_are_left_as_they_are():
    tensors = Tensors(bottleneck_net())
    assert select(tensors)[0] is tensors
