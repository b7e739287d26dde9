"""Presets and custom preprocessing: names, JSON, and invalid values."""

from __future__ import annotations

import json

import numpy as np
import pytest

from npresnet.errors import ArchitectureError
from npresnet.images import PRESETS, Preprocess, preset
from npresnet.images.presets import INTERPOLATIONS
from tests.support.torchvision_import import import_torchvision


def test_the_presets():
    assert {name: (how.resize, how.crop) for name, how in PRESETS.items()} == {
        "V1": (256, 224),
        "V2": (232, 224),
        "cifar10": (32, 32),
        "kinetics": ((128, 171), 112),
        "detect-and-track": (256, None),
        "kinetics-hara": (112, 112),
    }
    for name in ("V1", "V2", "cifar10"):
        how = PRESETS[name]
        assert how.mean == (0.485, 0.456, 0.406)
        assert how.std == (0.229, 0.224, 0.225)
        assert (how.interpolation, how.exif, how.channels, how.name) == ("bilinear", False, 3, name)


def test_presets_are_those_of_torchvisions_weights():
    models = import_torchvision().models
    for weights, name in (("IMAGENET1K_V1", "V1"), ("IMAGENET1K_V2", "V2")):
        theirs = getattr(models.ResNet50_Weights, weights).transforms()
        ours = preset(weights)
        assert ours is PRESETS[name]
        assert ([ours.resize], [ours.crop]) == (theirs.resize_size, theirs.crop_size)
        assert (list(ours.mean), list(ours.std)) == (theirs.mean, theirs.std)
        assert ours.interpolation == theirs.interpolation.value


@pytest.mark.parametrize("spelling", ["v1", "V1", " V1 ", "imagenet", "IMAGENET1K_V1", "imagenet1k_v1"])
def test_spellings(spelling):
    assert preset(spelling) is PRESETS["V1"]


def test_names_dicts_and_objects():
    assert preset("CIFAR10") is preset("cifar") is PRESETS["cifar10"]
    own = Preprocess(resize=None, crop=(20, 30), mean=(0.5,), std=(2,))
    assert preset(own) is own
    assert own.name is None
    assert own.channels == 1
    assert preset({}) == PRESETS["V1"]
    assert preset({"exif": True}) == PRESETS["V1"].evolve(exif=True)
    assert preset({"preset": "v2", "exif": True}) == PRESETS["V2"].evolve(exif=True)
    assert preset({"resize": 32, "crop": 32}).name == "cifar10"


OWN = Preprocess(None, (3, 4), (0,), (1,), "lanczos", True, draft=True)


@pytest.mark.parametrize("how", [*PRESETS.values(), OWN], ids=str)
def test_through_json(how):
    assert Preprocess.from_dict(json.loads(json.dumps(how.to_dict()))) == how


def test_number_types():
    how = Preprocess(np.int64(40), [np.int32(3), 4], np.array([0.5, 0.5, 0.5]), [1, 1, 1])
    assert (how.resize, how.crop, how.mean) == (40, (3, 4), (0.5, 0.5, 0.5))
    assert all(type(value) is float for value in how.mean + how.std)
    assert type(how.resize) is int
    assert hash(how) == hash(Preprocess(40, (3, 4), (0.5,) * 3, (1,) * 3))


def test_torchvisions_interpolation_modes():
    modes = import_torchvision().transforms.InterpolationMode
    assert {mode.value for mode in modes} == set(INTERPOLATIONS)
    assert Preprocess(interpolation=modes.BICUBIC).interpolation == "bicubic"


def test_str():
    assert str(PRESETS["V1"]) == (
        "V1: resize 256 bilinear, crop 224, mean (0.485, 0.456, 0.406), std (0.229, 0.224, 0.225)"
    )
    assert str(Preprocess(None, (3, 4), (0,), (1,), exif=True)) == "crop 3x4, mean (0.0,), std (1.0,), turned by EXIF"


BAD = [
    ({"resize": 0}, r"resize is 0; expected an integer in 1\.\.8192"),
    ({"resize": -5}, "resize is -5"),
    ({"crop": -1}, "crop is -1"),
    ({"crop": 100_000}, "crop is 100000"),
    ({"crop": 2.5}, "crop is 2.5"),
    ({"crop": True}, "crop is True"),
    ({"crop": (1, 2, 3)}, "crop is"),
    ({"crop": ()}, "crop is"),
    ({"crop": (0, 5)}, "crop is"),
    ({"resize": "256"}, "resize is '256'"),
    ({"mean": (0.5, 0.5)}, "mean has 2 numbers and std 3"),
    ({"mean": (0.5,)}, "mean has 1 numbers and std 3"),
    ({"mean": (), "std": ()}, "mean has 0"),
    ({"mean": (0.5,) * 4, "std": (1,) * 4}, r"model\(x\)"),
    ({"mean": 0.5}, "mean is 0.5; expected one number per channel"),
    ({"mean": ("a", "b", "c")}, "mean is"),
    ({"mean": None}, "mean is None"),
    ({"mean": (0, 0, np.nan)}, "must be finite"),
    ({"std": (1, 1, 0)}, "must be above 0"),
    ({"std": (1, 1, -1)}, "must be above 0"),
    ({"std": (1, 1, 1e-60)}, "must be above 0"),  # 0 in float32
    ({"std": (1, 1, np.inf)}, "must be finite"),
    ({"interpolation": "cubic"}, "nearest, nearest-exact, bilinear, bicubic, box, hamming, lanczos"),
    ({"interpolation": 2}, "unknown interpolation 2"),
    ({"exif": "yes"}, "exif is 'yes'; expected True or False"),
    ({"size": 224}, "no option 'size'; it has resize, crop, mean, std, interpolation, exif"),
    ({3: 4}, "no option '3'"),
    ({"preset": "V9"}, "unknown preprocessing 'V9'; expected V1, V2, cifar10"),
    ("V3", "unknown preprocessing 'V3'; expected V1, V2, cifar10"),
    ("", "unknown preprocessing ''"),
    (None, "unknown preprocessing None"),
    (224, "unknown preprocessing 224"),
]


@pytest.mark.parametrize(("value", "match"), BAD, ids=repr)
def test_invalid_values(value, match):
    with pytest.raises(ArchitectureError, match=match):
        preset(value)


def test_bgr_turns_the_numbers_that_belong_to_colours():
    """Mean and standard deviation are in the network's order: those that are given stay, the others turn."""
    turned = preset({"bgr": True})
    assert (turned.bgr, turned.mean, turned.std) == (True, (0.406, 0.456, 0.485), (0.225, 0.224, 0.229))
    assert turned == Preprocess.from_dict({"bgr": True}) == preset("V1").evolve(bgr=True)
    assert turned.evolve(bgr=False) == preset("V1")
    assert turned.evolve(bgr=True, resize=300).mean == turned.mean
    given = preset({"preset": "V2", "bgr": True, "mean": (0.1, 0.2, 0.3)})
    assert (given.mean, given.std, given.resize) == ((0.1, 0.2, 0.3), turned.std, 232)
    assert "channels BGR" in str(turned)
    assert turned.name is None


@pytest.mark.parametrize(
    ("value", "match"), [({"bgr": 1}, "bgr is 1"), ({"bgr": True, "mean": [0.5], "std": [0.5]}, "three channels")]
)
def test_invalid_orders(value, match):
    with pytest.raises(ArchitectureError, match=match):
        preset(value)
