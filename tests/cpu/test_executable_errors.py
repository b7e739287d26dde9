"""Calls that fail or are interrupted: no memory, errors in a tile, Ctrl-C, forks, closed models, wrong shapes."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

from npresnet import cpu, passes
from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.runtime.blas import guard
from npresnet.errors import DeviceError, ShapeError
from tests.support.children import exit_code
from tests.support.pictures import SHAPE, pictures

PATIENCE_S = 60


def test_an_image_beyond_all_memory_is_refused_by_its_size(executable):
    """Its pixels are one number in memory. Refused before anything is allocated for each row."""
    one = np.zeros(1, np.float32)
    for side in (2**22, 2**28):
        x = np.lib.stride_tricks.as_strided(one, (1, 3, side, side), (0, 0, 0, 0))
        with pytest.raises(DeviceError, match=rf"\(3, {side}, {side}\).* MB"):
            executable(x)


def test_an_image_without_memory_left_ends_in_a_device_error(executable, monkeypatch):
    def no_memory(*_):
        raise MemoryError

    x = pictures(1)
    expected = executable(x)["logits"]
    executable._programs._shelves.clear()
    with monkeypatch.context() as patched:
        patched.setattr("npresnet.cpu.runtime.memory.aligned_floats", no_memory)
        with pytest.raises(DeviceError, match=r"\(3, 40, 52\)"):
            executable(x)
    assert np.array_equal(executable(x)["logits"], expected)


@pytest.mark.parametrize("count", [1, 4])
def test_an_error_inside_a_tile_is_raised_and_the_next_call_is_right(executable, count, monkeypatch):
    x = pictures(count)
    expected = executable(x)["logits"]
    plan_kernels = {"calls": 0}
    true_maximum = kernels.maximum

    def failing(*arrays):
        plan_kernels["calls"] += 1
        if plan_kernels["calls"] == 7:
            raise FloatingPointError("planted")
        true_maximum(*arrays)

    executable._programs._shelves.clear()
    monkeypatch.setattr(kernels, "maximum", failing)
    with pytest.raises(FloatingPointError, match="planted"):
        executable(x)
    monkeypatch.undo()
    assert np.array_equal(executable(x)["logits"], expected)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one thread")
@pytest.mark.parametrize("count", [1, 200])
def test_ctrl_c_during_a_call(executable, count):
    x = pictures(1)[np.zeros(count, int)]
    expected = executable(x[:1])["logits"]
    interrupted = 0
    for delay_s in (0.0005, 0.001, 0.002, 0.004):
        timer = threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            deadline = time.monotonic() + PATIENCE_S
            while time.monotonic() < deadline:
                executable(x)
        except KeyboardInterrupt:
            interrupted += 1
        assert np.array_equal(executable(x[:1])["logits"], expected)
    assert interrupted == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_computes_too(executable):
    x = pictures(3)
    expected = executable(x)["logits"]
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(executable(x)["logits"], expected) else 1)
    assert exit_code(child) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_children_forked_in_the_middle_of_other_threads_calls_compute_too(network):
    """Locks of BLAS, plans and weights that those threads hold at that moment are not held in the child."""
    x = pictures(1)
    small = cpu.compile(passes.optimize(network), threads=2)
    expected = small(x)["logits"]
    stopped = threading.Event()

    def compute() -> None:
        while not stopped.is_set():
            small(x[:, :, :8, :8])

    callers = [threading.Thread(target=compute, daemon=True) for _ in range(2)]
    for caller in callers:
        caller.start()
    codes: list[int | None] = []
    try:
        while len(codes) < 10 and None not in codes:
            fresh = cpu.compile(passes.optimize(network), threads=2)  # another thread is prepacking its weights
            first = threading.Thread(target=fresh, args=(x,), daemon=True)
            first.start()
            time.sleep(0.008 * len(codes))
            child = os.fork()
            if child == 0:
                try:
                    found = [model(x)["logits"] for model in (small, fresh)]
                    os._exit(0 if all(np.array_equal(logits, expected) for logits in found) else 1)
                finally:
                    os._exit(2)  # after an error the child must not continue the parent's tests
            codes.append(exit_code(child))
            first.join()
    finally:
        stopped.set()
    assert codes == [0] * 10


def test_closed(network):
    executable = cpu.compile(passes.optimize(network), threads=2)
    executable(pictures(1))
    executable.close()
    executable.close()
    with pytest.raises(DeviceError, match="closed"):
        executable(pictures(1))


def test_shapes_that_do_not_fit(executable):
    with pytest.raises(ShapeError, match=r"\(3, 40, 52\)"):
        executable(pictures(1)[0])
    with pytest.raises(ShapeError, match="3 input channels, got 1"):
        executable(pictures(1, (1, 40, 40)))


def test_a_running_call_completes_after_close_and_keeps_nothing(network, monkeypatch):
    executable = cpu.compile(passes.optimize(network), threads=2)
    expected = executable(pictures(5))["logits"]
    executable._programs._shelves.clear()
    hold = guard.hold
    monkeypatch.setattr(guard, "hold", lambda call: (hold(call), executable.close()))
    assert np.array_equal(executable(pictures(5))["logits"], expected)
    assert not executable._programs._shelves
    with pytest.raises(DeviceError, match="closed"):
        executable(pictures(1))


@pytest.mark.parametrize("count", [1, 5])
def test_no_memory_inside_a_tile_is_a_device_error(network, monkeypatch, count):
    def no_memory(*_):
        raise MemoryError

    executable = cpu.compile(passes.optimize(network), threads=2)
    expected = executable(pictures(count))["logits"]
    executable._programs._shelves.clear()
    with monkeypatch.context() as patched:
        patched.setattr(kernels, "maximum", no_memory)
        with pytest.raises(DeviceError, match=rf"{count} images of \(3, 40, 52\)"):
            executable(pictures(count))
        executable._programs._shelves.clear()
    assert np.array_equal(executable(pictures(count))["logits"], expected)


def test_results_beyond_all_memory_are_refused(executable):
    x = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (10**14, *SHAPE), (0, 0, 0, 0))
    with pytest.raises(DeviceError, match="100000000000000 images"):
        executable(x)


def test_steps_of_no_image_are_refused(executable):
    for ask in (lambda: executable.steps(SHAPE, 0), lambda: executable.stopwatch(pictures(0))):
        with pytest.raises(ShapeError, match="at least one image"):
            ask()
