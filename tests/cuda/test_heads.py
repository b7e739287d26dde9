"""A classifier of linear layers and norms on an emulated GPU."""

from __future__ import annotations

import numpy as np

from npresnet import arch, ops, passes
from tests.arch.heads import FEATURES, body, randomised, tensors_of, torch
from tests.cuda.conftest import gpus
from tests.cuda.running import assert_within_gate, execute_on_gpu
from tests.emulator import emulator

__all__ = ["gpus"]
pytestmark = emulator.needed
nn = torch.nn


def test_norms_and_activations_of_a_classifier(gpus):
    """BatchNorm on (C,) before a linear layer, which cannot be folded, and between two."""
    gpus()
    layers = [nn.BatchNorm1d(FEATURES), nn.Dropout(), nn.Linear(FEATURES, 6), nn.BatchNorm1d(6), nn.ReLU()]
    head = randomised(nn.Sequential(*layers, nn.Linear(6, 5)))
    network, config = arch.build(body() | tensors_of(head, "fc."))
    assert config["head_activation"].value == ["none", "relu"]
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32), dtype=np.float32) * np.float32([[[[1]]], [[[4]]]])
    found = execute_on_gpu(passes.optimize(network), x)["logits"]
    exact = ops.run(network, x.astype(np.float64))["logits"]
    assert np.abs(exact[0] - exact[1]).max() > 0.01
    assert_within_gate(found, exact, "float32")
