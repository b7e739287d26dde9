"""Softmax and top-k under the emulator, against Prediction's own rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from npresnet.cuda.launchers import softmax_top_k
from npresnet.model.prediction import Prediction, probabilities_of
from tests.cuda import faults
from tests.emulator import emulator, memory

pytestmark = [emulator.needed, pytest.mark.in_a_child]


def run(
    logits: np.ndarray, k: int, edits: tuple[tuple[str, str], ...] = (), **how: Any
) -> tuple[np.ndarray, np.ndarray]:
    """probabilities (N, classes) float32, best (N, k) int32."""
    N, classes = logits.shape
    logits = memory.guarded(logits)
    probabilities, best = memory.poisoned((N, classes), np.float32), memory.poisoned((N, k), np.int32)
    addresses = {"logits": logits.ctypes.data, "probabilities": probabilities.ctypes.data, "best": best.ctypes.data}
    emulator.run(softmax_top_k.launches(N, classes, k, **addresses), edits=edits, **how)
    memory.check_guards(logits, probabilities, best)
    return probabilities, best


def right_best(logits: np.ndarray, k: int) -> list[list[int]]:
    return [[candidate.index for candidate in Prediction(row, top_k=k).top] for row in logits]


def check(logits: np.ndarray, k: int, edits: tuple[tuple[str, str], ...] = (), **how: Any) -> None:
    """Probabilities come from float64 on both sides: half a step of float32, and no more than a step apart."""
    probabilities, best = run(logits, k, edits, **how)
    assert best.tolist() == right_best(logits, k)
    right = probabilities_of(logits)
    assert np.array_equal(np.isnan(probabilities), np.isnan(right))
    assert_no_more_than_a_step_apart(probabilities[~np.isnan(right)], right[~np.isnan(right)])


def assert_no_more_than_a_step_apart(a: np.ndarray, b: np.ndarray) -> None:
    """Float32 numbers from 0 up, whose bits count in steps."""
    assert np.abs(a.view(np.int32).astype(np.int64) - b.view(np.int32)).max(initial=0) <= 1


@pytest.mark.parametrize("classes", [1, 3, 10, 33, 255, 256, 257, 1000])
def test_every_number_of_classes(classes: int) -> None:
    logits = np.random.default_rng(classes).normal(0, 5, (3, classes)).astype(np.float32)
    check(logits, min(5, classes))


def ties() -> np.ndarray:
    """Small integers, so that nearly every class ties with another; zeros; infinities; NaN; numbers far apart."""
    logits = np.random.default_rng(0).integers(-2, 3, (7, 300)).astype(np.float32)
    logits[1] = np.where(np.arange(300) % 3, 0.0, -0.0)
    logits[2, 40], logits[2, 41], logits[2, 7] = -np.inf, np.float32(3e38), np.float32(-3e38)
    logits[3, [5, 250]] = np.inf
    logits[4, 17] = np.nan
    logits[5] = np.nan
    logits[6] = np.random.default_rng(1).normal(0, 12, 300)
    return logits


@pytest.mark.parametrize("how", emulator.EVERY_WAY, ids=lambda how: "-".join(how.values()))
def test_ties_and_what_is_no_number(how: dict[str, str]) -> None:
    check(ties(), 7, **how)


def test_all_classes_in_order() -> None:
    check(ties()[:, :20].copy(), 20)


def test_none_asked_for() -> None:
    logits = np.random.default_rng(0).normal(size=(2, 10)).astype(np.float32)
    _, best = run(logits, 0)
    assert best.shape == (2, 0)


FAULTS = {
    "exponentials in float32": (
        "(float)(exp((double)logits[c] - largest) / sum)",
        "PLANTED ? expf(logits[c] - largest) / (float)sum : (float)(exp((double)logits[c] - largest) / sum)",
    ),
    "the higher index first": ("| ~(unsigned)index", "| (PLANTED ? (unsigned)index : ~(unsigned)index)"),
    "NaN first": ("if (logit != logit) ordered = 0;", "if (logit != logit && !PLANTED) ordered = 0;"),
    "two zeros": ("__float_as_uint(logit + 0.f)", "__float_as_uint(PLANTED ? logit : logit + 0.f)"),
    "negative logits upside down": ("bits >> 31 ? ~bits", "bits >> 31 && !PLANTED ? ~bits"),
    "the largest not taken off": (
        "sum += exp((double)logits[c] - largest)",
        "sum += exp((double)logits[c] - (PLANTED ? 0 : largest))",
    ),
    "written before the last value was read": (
        "__syncthreads();  // `shared` may still be read from the last call",
        "if (!PLANTED) __syncthreads();",
    ),
    "read before it is written": ("= value;\n  __syncthreads();\n", "= value;\n  if (!PLANTED) __syncthreads();\n"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str) -> None:
    with faults.caught():
        check_every_way(faults.number(FAULTS, fault))


def test_without_a_fault_nothing_is_caught() -> None:
    check_every_way(planted=0)


def check_every_way(planted: int) -> None:
    for how in emulator.EVERY_WAY:
        check(ties(), 7, faults.edits_of(FAULTS), planted=planted, **how)
