"""The rule for float32: our error against a float64 run is at most twice PyTorch's own on the same inputs."""

from __future__ import annotations

import numpy as np


def rms_error(found: np.ndarray, exact: np.ndarray) -> float:
    """Root of the mean squared difference over all logits of all inputs, in float64."""
    assert found.shape == exact.shape
    assert exact.dtype == np.float64
    return float(np.sqrt(np.mean(np.square(found.astype(np.float64) - exact))))


def assert_as_exact_as(ours: np.ndarray, theirs: np.ndarray, exact: np.ndarray) -> None:
    """`ours` may be at most twice as far from `exact` as `theirs` is; all (N, classes) with N of at least 8."""
    assert ours.dtype == theirs.dtype == np.float32
    assert len(exact) >= 8
    assert rms_error(theirs, exact) > 0
    assert rms_error(ours, exact) <= 2 * rms_error(theirs, exact)
