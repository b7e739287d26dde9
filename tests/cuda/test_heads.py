"""A classifier of linear layers and norms on an emulated GPU."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch, ops, passes
from tests.arch.heads import FEATURES, body, randomised, tensors_of, torch
from tests.cuda.conftest import gpus
from tests.cuda.running import assert_within_gate, execute_on_gpu
from tests.emulator import emulator

__all__ = ["gpus"]
pytestmark = emulator.needed
nn = torch.nn


MODULES = {
    "norms": [
        *(nn.BatchNorm1d(FEATURES), nn.Dropout(), nn.Linear(FEATURES, 6)),
        *(nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 5)),
    ],
    "layer norm": [nn.LayerNorm(FEATURES), nn.Linear(FEATURES, 5)],
    "two pools": [nn.Linear(2 * FEATURES, 5)],
}


@pytest.mark.parametrize("name", MODULES)
def test_a_classifier(gpus, name):
    """Such as a BatchNorm on (C,) before a linear layer, which cannot be folded."""
    gpus()
    tensors = body() | tensors_of(randomised(nn.Sequential(*MODULES[name])), "fc.")
    network, config = arch.build(tensors)
    assert config["global_pool"].value == ("catavgmax" if name == "two pools" else "avg")
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32), dtype=np.float32) * np.float32([[[[1]]], [[[4]]]])
    found = execute_on_gpu(passes.optimize(network), x)["logits"]
    exact = ops.run(network, x.astype(np.float64))["logits"]
    assert np.abs(exact[0] - exact[1]).max() > 0.01
    assert_within_gate(found, exact, "float32")
