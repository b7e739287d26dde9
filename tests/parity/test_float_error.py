"""Float error of the CPU backend on all ten architectures, by the rule of `tests.support.float_error`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from functools import partial

import numpy as np
import pytest

import npresnet
from npresnet import arch, cpu, passes
from tests.conftest import REPOSITORY
from tests.cpu.test_determinism import require
from tests.support import torch_run
from tests.support.float_error import assert_as_exact_as, rms_error
from tests.support.forcing import forced, winograd
from tests.support.reference import TEN, run_double, run_module, torchvision_model

FULL, SMALL = 224, 96  # image sizes
COUNT = 8


@pytest.mark.parametrize("name", TEN)
def test_rms_error_is_at_most_twice_pytorch_s(name):
    module, tensors = torchvision_model(name, seed=2)
    network, _ = arch.build(tensors)
    size = FULL if name in ("resnet18", "resnet50") else SMALL
    x = np.random.default_rng(3).standard_normal((COUNT, 3, size, size), dtype=np.float32)
    with closing(cpu.compile(passes.optimize(network), threads=2)) as executable:
        ours = executable(x)["logits"]
    exact = run_double(module, x)
    assert 0.1 < exact.std() < 100, "the weights should give logits of a sane size"
    assert_as_exact_as(ours, run_module(module, x), exact)


def test_another_core_type():
    """OpenBLAS's AVX2 core type in a separate process: other sums, other choices."""
    core_type = require("avx2")
    environment = {**os.environ, "OPENBLAS_CORETYPE": core_type}
    command = [sys.executable, "-m", "tests.support.rms", "64", "resnet18", "resnet34", "resnext50_32x4d"]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["core_type"] == core_type
    assert len(found["errors"]) == 3
    for name, errors in found["errors"].items():
        assert 0 < errors["ours"] <= 2 * errors["theirs"], name
        assert any("winograd" in algorithm for algorithm in errors["algorithms"]), name


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize(
    ("name", "seed"), [("cifar_resnet20", 0), ("cifar_resnet20", 2), ("cifar_resnet56", 1), ("demo", 0)]
)
def test_small_networks(name, seed, fast):
    """Few channels make short sums, which lose little directly: Winograd's own loss shows most here."""
    ours, theirs, exact = results_on_small_images(name, seed, fast=fast)
    assert_as_exact_as(ours, theirs, exact)


def results_on_small_images(name: str, seed: int, **options: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Our logits of 16 CIFAR-sized images, PyTorch's, and those in float64."""
    x = np.random.default_rng(seed).standard_normal((16, 3, 32, 32), dtype=np.float32)
    load = npresnet.load if name == "demo" else partial(npresnet.build, num_classes=10, seed=seed)
    with load(name, threads=2, **options) as model:
        ours, network = model(x), model.network
    theirs, exact = (next(iter(torch_run.run(network, x, dtype).values())) for dtype in (np.float32, np.float64))
    return ours, theirs, exact


def test_f4_everywhere_would_break_the_rule():
    """So the tiles are chosen with their digits in mind."""
    with forced(winograd(4)), pytest.raises(AssertionError):
        assert_as_exact_as(*results_on_small_images("cifar_resnet20", 2))


def test_the_rule_can_fail():
    """Errors thrice PyTorch's are refused, those twice as large are not."""
    exact = np.zeros((8, 10))
    theirs = np.full((8, 10), 1e-6, np.float32)
    assert_as_exact_as(np.full((8, 10), 1.99e-6, np.float32), theirs, exact)
    with pytest.raises(AssertionError):
        assert_as_exact_as(np.full((8, 10), 3e-6, np.float32), theirs, exact)
    assert rms_error(theirs, exact) == pytest.approx(1e-6)
