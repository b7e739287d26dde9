"""Class activation maps: positions, classes, range, and networks that have none. See also tests/parity."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import npresnet
from npresnet import weights
from npresnet.views.cam import activation_map, find_head
from tests.support.small import picture, shared_model


def test_the_best_class_by_default():
    model = shared_model()
    image = picture(3)
    np.testing.assert_array_equal(model.cam(image), model.cam(image, model.predict(image).index))


def test_range():
    heat = shared_model().cam(picture(1))
    assert heat.shape == (32, 32)
    assert heat.dtype == np.float32
    assert (heat.min(), heat.max()) == (0, 1)


def test_positions_and_orientation():
    """One hot position in one channel is hot in the map, neither flipped nor transposed."""
    features = np.zeros((3, 4, 6), np.float32)
    features[1, 0, 4] = 1
    heat = activation_map(features, np.array([5, 2, 7], np.float32), 40, 60)
    assert heat.shape == (40, 60)
    hottest = [[row, column] for row in range(5) for column in (44, 45)]  # about the middle of its 10x10 pixels
    assert np.argwhere(heat > 0.96).tolist() == hottest
    assert heat[20:, :].max() == 0
    assert heat[:, :30].max() == 0


def test_each_channel_has_its_own_weight():
    features = np.zeros((2, 1, 2), np.float32)
    features[0, 0, 0], features[1, 0, 1] = 1, 1
    assert activation_map(features, np.array([1.0, 3.0]), 1, 2).tolist() == [[0, 1]]
    assert activation_map(features, np.array([3.0, 1.0]), 1, 2).tolist() == [[1, 0]]


def test_resizing_is_pillow_s_bilinear():
    small = np.arange(6, dtype=np.float32).reshape(2, 3)
    expected = np.asarray(Image.fromarray(small).resize((9, 8), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(activation_map(small[None], np.ones(1), 8, 9), expected / np.float32(5))


def test_a_flat_map_is_zero():
    assert activation_map(np.ones((2, 3, 3), np.float32), np.ones(2), 5, 5).tolist() == np.zeros((5, 5)).tolist()


@pytest.mark.parametrize("index", [-1, 1.5, "3", True])
def test_invalid_indices_are_refused(index):
    with pytest.raises(ValueError, match="a class index must be an integer >= 0"):
        shared_model().cam(picture(), index)


def test_an_index_out_of_range_is_refused():
    with pytest.raises(npresnet.ArchitectureError, match=r"class index 10 is out of range: expected 0 to 9"):
        shared_model().cam(picture(), 10)


def test_two_linear_layers_are_refused(tmp_path):
    """After a hidden layer a position's contribution to the logit is no longer a weighted sum."""
    tensors = npresnet.arch.random_tensors("resnet10", num_classes=5)
    rng = np.random.default_rng(0)
    del tensors["fc.weight"], tensors["fc.bias"]
    for name, shape in {"fc.0": (16, 512), "fc.2": (5, 16)}.items():
        tensors[f"{name}.weight"] = rng.standard_normal(shape, dtype=np.float32)
        tensors[f"{name}.bias"] = np.zeros(shape[0], np.float32)
    weights.write_npz(tmp_path / "two.npz", tensors, {})
    with npresnet.load(tmp_path / "two.npz", threads=1) as model:
        assert model(np.zeros((1, 3, 64, 64), np.float32)).shape == (1, 5)
        with pytest.raises(npresnet.ArchitectureError, match=r"ends in linear, relu, linear.*model\.features"):
            model.cam(picture())


def test_find_head():
    pooled, linear = find_head(shared_model().network)
    assert (pooled, linear.name) == ("layer3.2.relu.2", "linear")
