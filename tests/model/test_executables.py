"""The cache of a network's compiled parts."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from npresnet.cpu.kernels.lowering import Options
from npresnet.errors import ArchitectureError, DeviceError
from npresnet.model.executables import CAPACITY, Executables
from tests.support.small import batch, shared_model


@pytest.fixture
def executables():
    return Executables(shared_model().network, threads=2)


def test_the_same_modules_give_the_same_executable(executables):
    whole = executables.get(None)
    assert executables.get(None) is whole
    assert executables.get(("layer1",)) is executables.get(("layer1",))
    assert executables.get(("layer1",)) is not whole
    assert whole.threads == 2


@pytest.mark.parametrize(("winograd", "fast"), [(True, False), (False, False), (True, True)])
def test_options_are_passed_to_every_executable(winograd, fast):
    executables = Executables(shared_model().network, threads=1, winograd=winograd, fast=fast)
    for modules in (None, ("layer1",)):
        assert executables.get(modules).options == Options(winograd=winograd, exact=not fast)


def test_the_number_of_executables_is_limited(executables):
    references = [weakref.ref(executables.get((f"layer{i % 3 + 1}.{i // 3}",))) for i in range(CAPACITY + 2)]
    assert [reference() is None for reference in references] == [True, True] + [False] * CAPACITY


def test_the_least_recently_used_is_evicted(executables):
    whole = weakref.ref(executables.get(None))
    for i in range(CAPACITY + 2):
        executables.get((f"layer{i % 3 + 1}.{i // 3}",))
        executables.get(None)
    assert whole() is not None


def test_an_evicted_executable_can_finish(executables):
    held = executables.get(("layer1",))
    executables.close()
    assert held(batch(1))["layer1"].shape == (1, 16, 32, 32)
    with pytest.raises(DeviceError, match="closed"):
        executables.get(None)


def test_an_unknown_name_is_not_cached(executables):
    with pytest.raises(ArchitectureError):
        executables.get(("layer9",))
    np.testing.assert_array_equal(executables.get(None)(batch(1))["logits"], shared_model()(batch(1)))
