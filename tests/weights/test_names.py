"""torchvision's names of weights: all spellings of a name resolve to the same file."""

from __future__ import annotations

import re

import pytest

from npresnet.weights.names import ALL, resolve


def torchvision_source() -> str:
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec("torchvision")
    return (Path(spec.submodule_search_locations[0]) / "models" / "resnet.py").read_text()


def test_every_file_and_hash_is_torchvisions():
    urls = set(re.findall(r'url="(https://download\.pytorch\.org/models/[^"]+)"', torchvision_source()))
    assert {weights.url for weights in ALL} == urls
    assert all(weights.file == f"{weights.arch}-{weights.sha256_prefix}.pth" for weights in ALL)


def test_every_preset_is_torchvisions():
    """resize_size=232 means V2's preprocessing; resnext101_64x4d uses it although its weights are called V1."""
    entries = re.findall(r'url="[^"]+/([^"/]+)",\s+transforms=partial\(([^)]*)\)', torchvision_source())
    resized = {file: "V2" if "resize_size=232" in arguments else "V1" for file, arguments in entries}
    assert {weights.file: weights.preset for weights in ALL} == resized


def test_the_plain_name_is_torchvisions_default():
    for enum, version in re.findall(
        r"class (\w+)_Weights\(WeightsEnum\):.*?DEFAULT = (\w+)", torchvision_source(), re.DOTALL
    ):
        plain = enum.lower().replace("resnext", "resnext").replace("wide_resnet", "wide_resnet")
        assert resolve(plain).name == f"{plain}.{version}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", "resnet18.IMAGENET1K_V1"),
        ("resnet50", "resnet50.IMAGENET1K_V2"),
        ("resnet50.IMAGENET1K_V1", "resnet50.IMAGENET1K_V1"),
        ("resnet50.imagenet1k_v2", "resnet50.IMAGENET1K_V2"),
        ("ResNet50_Weights.IMAGENET1K_V1", "resnet50.IMAGENET1K_V1"),
        ("ResNet50_Weights.DEFAULT", "resnet50.IMAGENET1K_V2"),
        ("Wide_ResNet101_2_Weights.IMAGENET1K_V1", "wide_resnet101_2.IMAGENET1K_V1"),
        ("ResNeXt101_64X4D_Weights.DEFAULT", "resnext101_64x4d.IMAGENET1K_V1"),
        ("resnet152.V1", "resnet152.IMAGENET1K_V1"),
        ("resnet18-f37072fd", "resnet18.IMAGENET1K_V1"),
        ("resnet18-f37072fd.pth", "resnet18.IMAGENET1K_V1"),
        ("resnet18-5c106cde", "resnet18.IMAGENET1K_V1"),
        ("resnet34-333f7ec4.pth", "resnet34.IMAGENET1K_V1"),
        ("resnet50-19c8e357", "resnet50.IMAGENET1K_V1"),
        ("resnet101-5d3b4d8f", "resnet101.IMAGENET1K_V1"),
        ("resnet152-b121ed2d", "resnet152.IMAGENET1K_V1"),
        ("resnext50_32x4d-1a0047aa", "resnext50_32x4d.IMAGENET1K_V2"),
    ],
)
def test_names(name, expected):
    assert resolve(name).name == expected


@pytest.mark.parametrize(
    "name", ["", "resnet18.pth", "resnet18.IMAGENET1K_V2", "resnet19", "vgg16", "resnet50.V3", "-f37072fd"]
)
def test_unknown_names(name):
    assert resolve(name) is None


def test_a_mirror(monkeypatch):
    monkeypatch.setenv("NPRESNET_WEIGHTS_URL", "https://mirror.example/models/")
    assert resolve("resnet18").url == "https://mirror.example/models/resnet18-f37072fd.pth"
