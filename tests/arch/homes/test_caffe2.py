"""Caffe2's and Detectron's pickles against their own formulas in PyTorch, which reads the blobs by their own names."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

import npresnet
from npresnet import AmbiguityWarning, ops

torch = pytest.importorskip("torch")
F = torch.nn.functional
DEPTHS = (2, 1, 2, 1)


def random(rng, *shape: int) -> np.ndarray:
    return (rng.normal(size=shape) / max(np.sqrt(np.prod(shape[1:])), 1)).astype(np.float32)


def affine(rng, name: str, channels: int) -> dict[str, np.ndarray]:
    return {
        f"{name}_s": rng.uniform(0.5, 1.5, channels).astype(np.float32),
        f"{name}_b": rng.normal(size=channels).astype(np.float32),
    }


def blobs(*, groups: int = 1, norm: str = "bn", planes: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    """A network of Bottlenecks as Detectron saves it."""
    rng = np.random.default_rng(seed)
    stem = "res_conv1_bn" if norm == "bn" else "conv1_gn"
    found = {"conv1_w": random(rng, planes, 3, 7, 7), **affine(rng, stem, planes)}
    before = planes
    for i, depth in enumerate(DEPTHS):
        width = planes * 2**i
        for j in range(depth):
            name = f"res{i + 2}_{j}"
            shapes = {"branch2a": (width, before, 1, 1), "branch2b": (width, width // groups, 3, 3)}
            shapes["branch2c"] = (4 * width, width, 1, 1)
            if j == 0:
                shapes["branch1"] = (4 * width, before, 1, 1)
            for branch, shape in shapes.items():
                found[f"{name}_{branch}_w"] = random(rng, *shape)
                found |= affine(rng, f"{name}_{branch}_{norm}", shape[0])
            before = 4 * width
    return found | {"pred_w": random(rng, 5, before), "pred_b": random(rng, 5)}


def formula(blobs, x: np.ndarray, *, on_first: bool, groups: int = 1, norm: str = "bn") -> np.ndarray:
    """Detectron's graph in float64."""
    w = {name: torch.from_numpy(blob.astype(np.float64)) for name, blob in blobs.items()}

    def normed(x, name):
        if norm == "gn":
            return F.group_norm(x, 4, w[f"{name}_s"], w[f"{name}_b"], 1e-5)
        return x * w[f"{name}_s"][:, None, None] + w[f"{name}_b"][:, None, None]

    x = F.conv2d(torch.from_numpy(x.astype(np.float64)), w["conv1_w"], w.get("conv1_b"), 2, 3)
    x = F.max_pool2d(F.relu(normed(x, "res_conv1_bn" if norm == "bn" else "conv1_gn")), 3, 2, 1)
    for i, depth in enumerate(DEPTHS):
        for j in range(depth):
            name, stride = f"res{i + 2}_{j}", 2 if i and j == 0 else 1
            first, middle = (stride, 1) if on_first else (1, stride)
            y = F.relu(normed(F.conv2d(x, w[f"{name}_branch2a_w"], None, first), f"{name}_branch2a_{norm}"))
            y = F.conv2d(y, w[f"{name}_branch2b_w"], None, middle, 1, 1, groups)
            y = F.conv2d(F.relu(normed(y, f"{name}_branch2b_{norm}")), w[f"{name}_branch2c_w"])
            y = normed(y, f"{name}_branch2c_{norm}")
            if j == 0:
                x = normed(F.conv2d(x, w[f"{name}_branch1_w"], None, stride), f"{name}_branch1_{norm}")
            x = F.relu(x + y)
    x = x.mean((2, 3))
    return (x @ w["pred_w"].T + w["pred_b"]).numpy() if "pred_w" in w else x.numpy()


def saved(folder, blobs, name: str = "model.pkl", **beside) -> str:
    path = folder / name
    path.write_bytes(pickle.dumps({"blobs": blobs, **beside}, 2))
    return str(path)


def loaded(*args, **options):
    """The model, and the options that its warning names."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = npresnet.load(*args, **options)
    return model, " ".join(str(warning.message) for warning in said if warning.category is AmbiguityWarning)


def assert_same(model, x, expected):
    exact = ops.run(model.network, x.astype(np.float64))
    np.testing.assert_allclose(next(iter(exact.values())), expected, rtol=1e-9, atol=1e-9)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(model(x), expected, atol=1e-5 * scale)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).normal(size=(2, 3, 33, 47)).astype(np.float32)


@pytest.mark.parametrize("on_first", [True, False])
def test_affine_channels(tmp_path, x, on_first):
    weights = blobs()
    model, said = loaded(saved(tmp_path, weights), stride_on="1x1" if on_first else "3x3")
    assert said == ""
    assert_same(model, x, formula(weights, x, on_first=on_first))
    again = npresnet.load(model.save(tmp_path / "model.npz") or tmp_path / "model.npz")
    assert np.array_equal(again(x), model(x))


def test_resnexts_stride_on_the_3x3(tmp_path, x):
    weights = blobs(groups=4)
    model, said = loaded(saved(tmp_path, weights))
    assert "stride_on='1x1'" in said
    assert "preprocess=" in said
    assert_same(model, x, formula(weights, x, on_first=False, groups=4))


def test_group_norm(tmp_path, x):
    weights = blobs(norm="gn")
    model, said = loaded(saved(tmp_path, weights), norm_groups=4)
    assert "stride_on='1x1'" in said
    assert_same(model, x, formula(weights, x, on_first=False, norm="gn"))


def test_statistics_that_are_not_folded(tmp_path, x):
    weights = blobs()
    rng = np.random.default_rng(3)
    kept = dict(weights)
    for name in [name for name in weights if name.endswith("_bn_s")]:
        module = name.removesuffix("_s")
        mean, variance = rng.normal(size=weights[name].size), rng.uniform(0.5, 2, weights[name].size)
        kept |= {f"{module}_rm": mean.astype(np.float32), f"{module}_riv": variance.astype(np.float32)}
        scale = weights[name] / np.sqrt(kept[f"{module}_riv"].astype(np.float64) + 1e-5)
        weights[f"{module}_b"] = weights[f"{module}_b"] - scale * kept[f"{module}_rm"]
        weights[name] = scale
    model, _ = loaded(saved(tmp_path, kept))
    assert_same(model, x, formula(weights, x, on_first=True))


def test_names_of_group_norm_tell_detectron_s_number_of_groups(tmp_path):
    """Tensors alone may also be those of a BatchNorm without its buffers, or of other numbers of groups."""
    model, said = loaded(saved(tmp_path, blobs(norm="gn", planes=32), "R-101-GN.pkl"))
    assert said == ""
    assert model.config["norm_groups"].value == 32
    assert "its names" in model.config["norm_groups"].note


@pytest.mark.parametrize(
    ("name", "told", "stride_on"),
    [
        ("R-50.pkl", {}, "1x1"),
        ("R-50-GN.pkl", {}, "3x3"),
        ("model_final.pkl", {"cfg": "RESNETS:\n  STRIDE_1X1: false\n"}, "3x3"),
        ("R-50.pkl", {"cfg": "RESNETS: {STRIDE_1X1: False}"}, "3x3"),
    ],
)
def test_what_tells_the_place_of_the_stride(tmp_path, x, name, told, stride_on):
    weights = blobs()
    model, said = loaded(saved(tmp_path, weights, name, **told))
    assert said == ""
    assert (model.config["stride_on"].value, model.config["stride_on"].origin) == (stride_on, "file")
    assert_same(model, x, formula(weights, x, on_first=stride_on == "1x1"))


def test_a_detector_is_its_body_and_optimizers_leave_nothing(tmp_path, x):
    weights = {name: blob for name, blob in blobs().items() if not name.startswith("pred")}
    heads = {name: np.ones((4, 8), np.float32) for name in ("fpn_inner_res5_0_sum_w", "conv_rpn_w", "fc6_w", "fc6_b")}
    momentum = {f"{name}_momentum": np.ones_like(blob) for name, blob in weights.items()}
    model, said = loaded(saved(tmp_path, weights | heads | momentum | {"lr": np.float32([0.1])}))
    assert "stride_on" in said
    assert "fc6_w" in model.config["ignored"].value
    assert_same(model, x, formula(weights, x, on_first=True))


def test_images_are_pixels_in_the_order_blue_green_red(tmp_path):
    image = np.random.default_rng(5).integers(0, 256, (224, 224, 3), np.uint8)
    model, _ = loaded(saved(tmp_path, blobs(), "R-50.pkl"), preprocess={"resize": None})
    pixels = image[:, :, ::-1].astype(np.float64) - [102.9801, 115.9465, 122.7717]
    np.testing.assert_allclose(model.preprocess(image)[0], pixels.transpose(2, 0, 1), atol=1e-4)
    expected = torch.softmax(torch.from_numpy(model(np.float32(pixels.transpose(2, 0, 1)[None]))), 1)[0]
    np.testing.assert_allclose(model.predict(image).probabilities, expected, atol=1e-5)
