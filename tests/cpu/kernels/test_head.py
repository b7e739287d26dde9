"""The classifier's own rounding error, apart from the network before it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.support.float_error import rms_error
from tests.support.one_node import on_cpu


@pytest.mark.parametrize("features", [512, 2048])
@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_linear_rounds_no_worse_than_pytorch(features, classes):
    """Pooled features are positive, so the sums grow; the fewer the classes, the longer the sums of BLAS."""
    errors = []
    for seed in range(2000 // classes + 10):
        rng = np.random.default_rng(seed)
        x = np.abs(rng.standard_normal((1, features), np.float32))
        weight = (rng.uniform(-1, 1, (classes, features)) / np.sqrt(features)).astype(np.float32)
        exact = x.astype(np.float64) @ weight.T.astype(np.float64)
        ours = on_cpu.linear(x, weight)
        theirs = torch.nn.functional.linear(torch.from_numpy(x), torch.from_numpy(weight)).numpy()
        errors.append((rms_error(ours, exact) ** 2, rms_error(theirs, exact) ** 2))
    ours_mean, theirs_mean = np.mean(errors, axis=0)
    assert ours_mean <= 1.1**2 * theirs_mean
