"""Float error of the CPU backend on all ten architectures, by the rule of `tests.support.float_error`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from functools import cache
from typing import Any

import numpy as np
import pytest

from npresnet import arch, cpu, passes
from tests.conftest import REPOSITORY
from tests.cpu.test_determinism import require
from tests.support.float_error import assert_as_exact_as, rms_error
from tests.support.forcing import forced, winograd
from tests.support.reference import TEN, growing, run_double, run_module, torchvision_model
from tests.support.rms import errors, errors_over_seeds, results_on_small_images
from tests.support.torchvision_import import import_torchvision

torch = pytest.importorskip("torch", reason="torch is not installed")

FULL, SMALL = 224, 64  # image sizes
COUNT = 8
NETWORKS = ("resnet18", "resnet34", "resnext50_32x4d")
SMALL_NETWORKS = ("cifar_resnet20", "demo")
GROWING_SEEDS = (1, 3)


@pytest.mark.parametrize("name", TEN)
def test_rms_error_is_at_most_twice_pytorch_s(name):
    module, tensors = torchvision_model(name, seed=2)
    network, _ = arch.build(tensors)
    size = FULL if name == "resnet18" else SMALL
    x = np.random.default_rng(3).standard_normal((COUNT, 3, size, size), dtype=np.float32)
    with closing(cpu.compile(passes.optimize(network), threads=2)) as executable:
        ours = executable(x)["logits"]
    exact = run_double(module, x)
    assert 0.1 < exact.std() < 100, "the weights should give logits of a sane size"
    assert_as_exact_as(ours, run_module(module, x), exact)


def test_another_core_type():
    """Other sums, other choices."""
    for name in NETWORKS:
        each = errors_with_avx2()[name]
        assert_well_within_the_rule(each)
        assert any("winograd" in algorithm for algorithm in each["algorithms"]), name


@cache
def errors_with_avx2() -> dict[str, dict[str, Any]]:
    """What `tests.support.rms` finds with OpenBLAS's AVX2 core type, in one process: NETWORKS and SMALL_NETWORKS."""
    core_type = require("avx2")
    environment = {**os.environ, "OPENBLAS_CORETYPE": core_type}
    words = [f"{name}@{SMALL}" for name in NETWORKS] + [f"{name}@small" for name in SMALL_NETWORKS]
    command = [sys.executable, "-m", "tests.support.rms", *words]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["core_type"] == core_type
    return found["errors"]


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize(
    ("name", "seed"), [("cifar_resnet20", 0), ("cifar_resnet20", 2), ("cifar_resnet56", 1), ("demo", 0)]
)
def test_small_networks(name, seed, fast):
    """Few channels make short sums, which lose little directly: Winograd's own loss shows most here."""
    (ours,), theirs, exact = results_on_small_images(name, seed, fast)
    assert_as_exact_as(ours, theirs, exact)


def test_small_images():
    """Deep layers have few pixels there, over which an average could even out errors."""
    assert_well_within_the_rule(errors("resnet34", 64))


@pytest.mark.parametrize("name", SMALL_NETWORKS)
def test_small_networks_over_seeds(name):
    assert_well_within_the_rule(errors_over_seeds(name))


def test_small_networks_over_seeds_with_another_core_type():
    for name in SMALL_NETWORKS:
        assert_well_within_the_rule(errors_with_avx2()[name])


def assert_well_within_the_rule(found: dict[str, Any]) -> None:
    """1.5 times PyTorch's error, not twice: on another processor PyTorch itself may be more exact than on this one."""
    for mode in ("ours", "ours, fast"):
        assert 0 < found[mode] <= 1.5 * found["theirs"], mode


def test_the_rule_can_fail():
    """Errors thrice PyTorch's are refused, those twice as large are not."""
    exact = np.zeros((8, 10))
    theirs = np.full((8, 10), 1e-6, np.float32)
    assert_as_exact_as(np.full((8, 10), 1.99e-6, np.float32), theirs, exact)
    with pytest.raises(AssertionError):
        assert_as_exact_as(np.full((8, 10), 3e-6, np.float32), theirs, exact)
    assert rms_error(theirs, exact) == pytest.approx(1e-6)


@pytest.mark.parametrize("seed", GROWING_SEEDS)
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_networks_for_small_images_whose_values_grow(name, seed):
    assert_as_exact_as(*results_of_growing(name, seed))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_f4_everywhere_would_break_the_rule(name):
    """So the tiles are chosen with their digits in mind. Which network shows it depends on PyTorch's own error here."""
    with forced(winograd(4)):
        results = [results_of_growing(name, seed) for seed in GROWING_SEEDS]
    with pytest.raises(AssertionError):
        all_as_exact(results)


def all_as_exact(results: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
    for ours, theirs, exact in results:
        assert_as_exact_as(ours, theirs, exact)


def results_of_growing(name: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Our logits, PyTorch's and exact ones of a network without BatchNorms that shrink a block's branch.

    What the first layers lose passes through all others.
    """
    torch.manual_seed(seed)
    module = getattr(import_torchvision().models, name)(num_classes=10)
    module.conv1, module.maxpool = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False), torch.nn.Identity()
    module, tensors = growing(module, size=32, seed=seed)
    network, _ = arch.build(tensors)
    x = np.random.default_rng(4).standard_normal((COUNT, 3, 32, 32), dtype=np.float32)
    with closing(cpu.compile(passes.optimize(network), threads=1)) as executable:
        ours = executable(x)["logits"]
    return ours, run_module(module, x), run_double(module, x)
