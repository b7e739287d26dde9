"""Features and embeddings: equal to the interpreter's values of the modules."""

from __future__ import annotations

import numpy as np
import pytest

import npresnet
from npresnet import ops
from tests.support.float_error import assert_as_exact_as
from tests.support.small import ARCH, batch, picture


def test_features_are_those_of_the_interpreter():
    """With direct sums, because Winograd loses more digits in a single layer than in a network's output."""
    names = ["conv1", "bn1", "layer1.0.conv2", "layer1", "layer2.1.relu", "layer3.0", "avgpool", "linear"]
    x = batch(8)
    with npresnet.build(ARCH, num_classes=10, threads=2, winograd=False) as model:
        part, found = model.network.with_outputs(names), model.features(x, names)
    assert list(found) == names
    plain, exact = (ops.run(part, x.astype(dtype)) for dtype in (np.float32, np.float64))
    for name in names:
        assert_as_exact_as(found[name], plain[name], exact[name])


def test_features_do_not_change_the_logits(model):
    x = batch(2)
    found = model.features(x, ["linear", "flatten"])
    np.testing.assert_array_equal(found["linear"], model(x))


def test_features_of_one_name_and_of_none(model):
    assert list(model.features(batch(1), "layer3")) == ["layer3"]
    assert model.features(batch(1), []) == {}


def test_an_unknown_module_is_named(model):
    with pytest.raises(npresnet.ArchitectureError, match=r"'layer9'.*conv1, bn1, relu, layer1, layer2, layer3"):
        model.features(batch(1), ["layer1", "layer9"])
    for names in ([3], [["layer1"]], [None], [("layer1",)], 3, None):
        with pytest.raises(npresnet.ArchitectureError, match="such as 'layer3'"):
            model.features(batch(1), names)


def test_embeddings(model):
    images = [picture(0), picture(1), picture(2)]
    one = model.embed(images[1])
    assert (one.shape, one.dtype) == ((64,), np.float32)
    several = model.embed(images, batch_size=2)
    assert several.shape == (3, 64)
    np.testing.assert_array_equal(several[1], one)
    np.testing.assert_array_equal(one, model.features(model.preprocess(images[1]), ["avgpool"])["avgpool"].ravel())
    assert model.embed([]).shape == (0, 64)
    with pytest.raises(npresnet.ImageError, match=r"nowhere\.png"):
        model.embed([images[0], "nowhere.png"])
