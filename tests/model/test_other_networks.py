"""Networks without a classifier, and for grey images."""

from __future__ import annotations

import numpy as np
import pytest

import npresnet
from npresnet import arch, weights
from tests.support.small import ARCH, batch, picture


def load_tensors(tmp_path, tensors, **options):
    path = tmp_path / "tensors.npz"
    weights.write_npz(path, tensors, {})
    return npresnet.load(path, threads=1, **options)


def test_a_network_without_classifier_embeds_and_does_not_predict(tmp_path):
    tensors = {n: t for n, t in arch.random_tensors(ARCH, num_classes=10).items() if not n.startswith("linear")}
    with load_tensors(tmp_path, tensors) as model:
        assert model.embed(picture()).shape == (64,)
        np.testing.assert_array_equal(model(batch(2)), model.features(batch(2), ["flatten"])["flatten"])
        assert "no classifier" in repr(model)
        assert model.labels is None
        for call in (model.predict, model.stream, model.cam):
            with pytest.raises(npresnet.ArchitectureError, match=r"no classifier|class activation map"):
                call(picture())


def test_a_network_for_grey_images(tmp_path):
    tensors = arch.random_tensors(ARCH, num_classes=10, in_channels=1)
    with load_tensors(tmp_path, tensors) as model:
        assert model(batch(2, channels=1)).shape == (2, 10)
        with pytest.raises(npresnet.ShapeError, match=r"1 channels.*preprocess="):
            model.predict(picture())
        with pytest.raises(npresnet.ShapeError, match="expects 1 input channels, got 3"):
            model(batch(1))
        model.save(tmp_path / "saved.npz")
        assert npresnet.load(tmp_path / "saved.npz").config["preprocess"].value is None
    grey = {"mean": [0.5], "std": [0.25], "resize": 32, "crop": 32}
    with load_tensors(tmp_path, tensors, preprocess=grey) as model:
        assert model.preprocess(picture()).shape == (1, 1, 32, 32)
        assert model.predict(picture()).logits.shape == (10,)
