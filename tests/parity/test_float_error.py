"""Float error of the CPU backend on all ten architectures, by the rule of `tests.support.float_error`."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from npresnet import arch, cpu, passes
from tests.support.float_error import assert_as_exact_as, rms_error
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


def test_the_rule_can_fail():
    """Errors thrice PyTorch's are refused, those twice as large are not."""
    exact = np.zeros((8, 10))
    theirs = np.full((8, 10), 1e-6, np.float32)
    assert_as_exact_as(np.full((8, 10), 1.99e-6, np.float32), theirs, exact)
    with pytest.raises(AssertionError):
        assert_as_exact_as(np.full((8, 10), 3e-6, np.float32), theirs, exact)
    assert rms_error(theirs, exact) == pytest.approx(1e-6)
