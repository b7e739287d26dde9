"""The cache of a network's compiled parts."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from npresnet.cpu.kernels.lowering import Options
from npresnet.errors import ArchitectureError, DeviceError, ShapeError
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


def test_a_model_takes_one_name_or_several():
    model = shared_model()
    assert model.executable("layer1") is model.executable(["layer1"])
    assert list(model.executable("layer1").network.outputs) == ["layer1"]
    for wrong in (5, [1], [], ""):
        with pytest.raises(ArchitectureError, match=r"expected|no module called"):
            model.executable(wrong)


def test_the_face_takes_lists_and_refuses_no_images():
    executable = shared_model().executable()
    shape = [3, 32, 32]
    assert [step.name for step in executable.steps(shape)] == [step.name for step in executable.steps(tuple(shape))]
    assert executable.layout(shape).input_shape == tuple(shape)
    for refused in (executable.steps, executable.layout):
        with pytest.raises(ShapeError, match="expects at least one image, got 0"):
            refused(shape, 0)
    with pytest.raises(ShapeError, match=r"expects images \(N, C, H, W\), or clips .*, got \(3, 32, 32\)"):
        executable.stopwatch(np.zeros((3, 32, 32), np.float32))
