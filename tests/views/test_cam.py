"""Class activation maps: positions, classes, range, and networks that have none. See also tests/parity."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import npresnet
from npresnet import ops, weights
from npresnet.network import INPUT, Network, Node
from npresnet.views.cam import activation_map, class_weight, find_head
from tests.arch.fabric import basic_net
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


def small_model(tmp_path, head, **options):
    """A small network with another classifier, {name: array}."""
    tensors = basic_net((1, 1), head=None)
    noise = np.random.default_rng(0)
    for name, array in tensors.items():
        if array.dtype == np.float32:
            low = 0.5 if "running_var" in name else -0.5
            tensors[name] = noise.uniform(low, 1, array.shape).astype(np.float32)
    weights.write_npz(tmp_path / "net.npz", tensors | head, {})
    return npresnet.load(tmp_path / "net.npz", threads=1, preprocess={"resize": 32, "crop": 32}, **options)


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


HIDDEN = {"fc.0.weight": random(6, 16), "fc.0.bias": random(6), "fc.2.weight": random(4, 6), "fc.2.bias": random(4)}
NORMED = {"bn.weight": random(16), "bn.bias": random(16, seed=1), "bn.running_mean": random(16, seed=2),
          "bn.running_var": np.abs(random(16, seed=3)), "fc.weight": random(4, 16)}  # fmt: skip


def test_two_linear_layers_are_refused(tmp_path):
    """After a hidden layer a position's contribution to the logit is no longer a weighted sum."""
    with small_model(tmp_path, HIDDEN, head_activation="relu") as model:
        assert model(np.zeros((1, 3, 64, 64), np.float32)).shape == (1, 4)
        with pytest.raises(npresnet.ArchitectureError, match=r"ends in linear, relu, linear.*model\.features"):
            model.cam(picture())


def test_no_classifier_and_other_pools_are_refused(tmp_path):
    with (
        small_model(tmp_path, {}) as model,
        pytest.raises(npresnet.ArchitectureError, match=r"ends in relu, global_avg_pool, flatten"),
    ):
        model.cam(picture())
    nodes = (Node("p", "global_max_pool", (INPUT,)), Node("f", "flatten", ("p",)))
    last = Node("fc", "linear", ("f",), params={"weight": random(2, 3)})
    with pytest.raises(npresnet.ArchitectureError, match="global_max_pool, flatten, linear"):
        find_head(Network((*nodes, last), {"logits": "fc"}))


@pytest.mark.parametrize(
    ("head", "options"), [(HIDDEN, {"head_activation": "none"}), (NORMED, {})], ids=["two", "norm"]
)
def test_what_is_affine_is_exact(tmp_path, head, options):
    """A change of the map at one position changes the logit by that position's part of the class's map."""
    with small_model(tmp_path, head, **options) as model:
        pooled, layers = find_head(model.network)
        after = [node for node in model.network if node.op == "flatten" or node in layers]
        tail = Network((Node("avgpool", "global_avg_pool", (INPUT,)), after[0], *layers), {"logits": layers[-1].name})
        maps = np.random.default_rng(4).standard_normal((1, 16, 3, 5))
        changed = maps.copy()
        changed[0, :, 1, 2] += random(16, seed=5)
        before, now = (ops.run(tail, x)["logits"][0] for x in (maps, changed))
        for index in range(4):
            weight = class_weight(layers, index)
            assert now[index] - before[index] == pytest.approx(weight @ (changed - maps)[0, :, 1, 2] / 15, rel=1e-9)
        x = model.preprocess(picture())
        right = activation_map(model.features(x, [pooled])[pooled][0], class_weight(layers, 2), 32, 32)
        np.testing.assert_allclose(model.cam(picture(), 2), right, atol=1e-6)


def test_one_logit_has_a_map_of_either_class(tmp_path):
    one = {"fc.weight": random(1, 16), "fc.bias": random(1)}
    with small_model(tmp_path, one) as model:
        first, second = model.cam(picture(), 0), model.cam(picture(), 1)
        np.testing.assert_allclose(first, 1 - second, atol=1e-6)
        np.testing.assert_array_equal(model.cam(picture()), (first, second)[model.predict(picture()).index])
        with pytest.raises(npresnet.ArchitectureError, match=r"class index 2 is out of range: expected 0 to 1"):
            model.cam(picture(), 2)
    with small_model(tmp_path, one, labels=["fake"]) as model:
        np.testing.assert_array_equal(model.cam(picture()), second)
        with pytest.raises(npresnet.ArchitectureError, match=r"class index 1 is out of range: expected 0 to 0"):
            model.cam(picture(), 1)


def test_find_head():
    pooled, layers = find_head(shared_model().network)
    assert (pooled, [layer.name for layer in layers]) == ("layer3.2.relu.2", ["linear"])
    np.testing.assert_array_equal(class_weight(layers, 3), layers[0].params["weight"][3])
