"""Classifiers of all kinds through the CPU backend, from a file, beside PyTorch: numbers, embeddings, error."""

from __future__ import annotations

import numpy as np
import pytest

import npresnet
from tests.arch.heads import FEATURES, MAP, body, randomised, tensors_of, torch
from tests.support.float_error import assert_as_exact_as

nn = torch.nn


class Pool(nn.Module):
    """timm's SelectAdaptivePool2d and fastai's AdaptiveConcatPool2d, by npresnet's names."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        average, largest = x.mean((2, 3)), x.amax((2, 3))
        return {
            "avg": lambda: average,
            "max": lambda: largest,
            "avgmax": lambda: 0.5 * (average + largest),
            "catavgmax": lambda: torch.cat([average, largest], 1),
            "catmaxavg": lambda: torch.cat([largest, average], 1),
        }[self.kind]()


def fastai(width: int) -> list[nn.Module]:
    first = [nn.BatchNorm1d(width), nn.Dropout(), nn.Linear(width, 32, bias=False), nn.ReLU()]
    return [nn.Identity(), *first, nn.BatchNorm1d(32), nn.Dropout(), nn.Linear(32, 7, bias=False)]


TWO = [nn.Linear(FEATURES, 32), nn.Tanh(), nn.Linear(32, 7)]
NORMED = [nn.Linear(FEATURES, 32), nn.BatchNorm1d(32), nn.GELU(), nn.Dropout(), nn.Linear(32, 7)]
LAYER_NORMED = [nn.LayerNorm(FEATURES), nn.Linear(FEATURES, 32), nn.LayerNorm(32), nn.SiLU(), nn.Linear(32, 7)]
HEADS = {
    "fastai": ("catmaxavg", fastai(2 * FEATURES), {}),
    "fastai, average": ("avg", fastai(FEATURES), {}),
    "tanh": ("avg", TWO, {"head_activation": "tanh"}),
    "norm": ("avg", NORMED, {"head_activation": "gelu"}),
    "layer norm": ("avg", LAYER_NORMED, {"head_activation": "silu"}),
    "max": ("max", [nn.Linear(FEATURES, 7)], {"global_pool": "max"}),
    "avgmax": ("avgmax", [nn.Linear(FEATURES, 7)], {"global_pool": "avgmax"}),
    "catavgmax": ("catavgmax", [nn.Linear(2 * FEATURES, 7)], {"global_pool": "catavgmax"}),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_file_s_classifier_is_pytorch_s(tmp_path, name):
    kind, modules, options = HEADS[name]
    head = randomised(nn.Sequential(Pool(kind), *modules))
    np.savez(tmp_path / "net.npz", **body(), **tensors_of(head, "1."))
    x = np.random.default_rng(0).standard_normal((8, 3, 48, 40), dtype=np.float32) * np.float32(2)
    with npresnet.load(tmp_path / "net.npz", threads=1, **options) as model:
        ours = model(x)
        maps = model.features(x, [MAP])[MAP]
        pooled = model.features(x, ["flatten"])["flatten"]
        np.testing.assert_allclose(pooled, head[0](torch.from_numpy(maps)).numpy(), rtol=1e-5)
        assert model.embed(np.zeros((48, 40, 3), np.uint8)).shape == pooled.shape[1:]
    with torch.inference_mode():
        theirs = head(torch.from_numpy(maps)).numpy()
        exact = head.double()(torch.from_numpy(maps).double()).numpy()
    assert exact.std(axis=0).max() > 1e-3
    assert_as_exact_as(ours, theirs, exact)


def test_a_saved_model_has_its_head(tmp_path):
    head = randomised(nn.Sequential(Pool("avg"), *TWO))
    np.savez(tmp_path / "net.npz", **body(), **tensors_of(head, "top."))
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32), dtype=np.float32)
    with npresnet.load(tmp_path / "net.npz", threads=1, head_activation="tanh") as model:
        right = model(x)
        model.save(tmp_path / "copy.npz")
    with npresnet.load(tmp_path / "copy.npz", threads=1) as model:
        np.testing.assert_array_equal(model(x), right)
        assert model.config["head_activation"].origin == model.config["head"].origin == "file"
        assert model.config.ambiguous() == {}
