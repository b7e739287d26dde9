"""Modules that normalise images inside a network become its preprocessing."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch.selection.normalisers import read_normaliser
from npresnet.arch.tensors import Tensors
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net, prefixed

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
CIFAR = ([0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616])


def normaliser(mean, std, names=("normalizer.new_mean", "normalizer.new_std"), shape=(3, 1, 1)):
    return {name: np.float32(numbers).reshape(shape) for name, numbers in zip(names, (mean, std), strict=True)}


@pytest.mark.parametrize(
    "names",
    [
        ("normalizer.new_mean", "normalizer.new_std"),
        ("normalize.mean", "normalize.std"),
        ("0.mean", "0.std"),
        ("mu", "sigma"),
        ("mean", "std"),
        ("attacker.normalize.new_mean", "attacker.normalize.new_std"),
    ],
)
def test_imagenets_numbers_confirm(names):
    _, config = arch.build(prefixed(basic_net(), "model.") | normaliser(*IMAGENET, names))
    assert config.value("preprocess") == "V1"
    assert all(".".join(name.split(".")[:2]) in config.value("ignored") for name in names)


@pytest.mark.parametrize("shape", [(3,), (3, 1, 1), (1, 3, 1, 1)])
def test_other_numbers_are_told_by_the_file(shape):
    _, config = arch.build(
        prefixed(basic_net((1, 1, 1), stem=3, classes=10), "model.") | normaliser(*CIFAR, shape=shape)
    )
    told = config["preprocess"]
    assert (told.origin, told.certainty) == ("file", "told")
    assert told.value["preset"] == "cifar10"
    np.testing.assert_allclose([told.value["mean"], told.value["std"]], CIFAR, rtol=1e-6)
    assert "normalizer.new_mean" in told.note


def test_detectron2s_numbers_are_of_pixels_and_blue_comes_first():
    pixels = normaliser([103.53, 116.28, 123.675], [1.0, 1.0, 1.0], ("pixel_mean", "pixel_std"))
    names, decided = read_normaliser(Tensors(pixels))
    assert names == ["pixel_mean", "pixel_std"]
    np.testing.assert_allclose(
        decided["preprocess"].value["mean"], np.divide([103.53, 116.28, 123.675], 255), rtol=1e-5
    )
    np.testing.assert_allclose(decided["preprocess"].value["std"], [1 / 255] * 3, rtol=1e-5)
    assert decided["preprocess"].value["bgr"] is True


def test_the_pattern_of_a_normaliser_alone_is_not_enough():
    """Another number of channels, no numbers, or two that differ: left over, and so refused."""
    bad = [
        normaliser([0.5], [0.5], shape=(1,)),
        normaliser(CIFAR[0], [np.nan, 1, 1]),
        normaliser(CIFAR[0], [0, 0, 0]),
        normaliser(*CIFAR) | normaliser(*IMAGENET, ("normalize.mean", "normalize.std")),
        {"normalizer.new_mean": np.float32(CIFAR[0])},
    ]
    for tensors in bad:
        with pytest.raises(ArchitectureError, match=r"normalizer\.new_mean"):
            arch.build(prefixed(basic_net(), "model.") | tensors)
