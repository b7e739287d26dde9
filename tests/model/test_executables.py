"""The compiled parts of a network: made once, a few kept, safe between threads."""

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
def test_options_go_to_every_executable(winograd, fast):
    executables = Executables(shared_model().network, threads=1, winograd=winograd, fast=fast)
    for modules in (None, ("layer1",)):
        assert executables.get(modules).options == Options(winograd=winograd, exact=not fast)


def test_only_the_last_few_are_kept(executables):
    references = [weakref.ref(executables.get((f"layer{i % 3 + 1}.{i // 3}",))) for i in range(CAPACITY + 2)]
    assert [reference() is None for reference in references] == [True, True] + [False] * CAPACITY


def test_what_is_used_stays(executables):
    whole = weakref.ref(executables.get(None))
    for i in range(CAPACITY + 2):
        executables.get((f"layer{i % 3 + 1}.{i // 3}",))
        executables.get(None)
    assert whole() is not None


def test_who_runs_one_that_went_may_finish(executables):
    held = executables.get(("layer1",))
    executables.close()
    assert held(batch(1))["layer1"].shape == (1, 16, 32, 32)
    with pytest.raises(DeviceError, match="closed"):
        executables.get(None)


def test_an_unknown_name_leaves_nothing_behind(executables):
    with pytest.raises(ArchitectureError):
        executables.get(("layer9",))
    np.testing.assert_array_equal(executables.get(None)(batch(1))["logits"], shared_model()(batch(1)))
