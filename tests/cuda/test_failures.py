"""A GPU that refuses or fails in the middle of a run: what is told, what can be used afterwards, and quiet ends."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import numpy as np
import pytest

import npresnet
from npresnet import DeviceError, cuda
from npresnet.cuda.runtime import failures
from npresnet.cuda.runtime.context import Context
from tests.cuda.running import compiled, expected, images, small_network
from tests.emulator import cupy_failures, emulator
from tests.emulator.cupy_streams import Event
from tests.support.checkout import REPOSITORY

pytestmark = emulator.needed

AT_FIRST = (
    "create stream",
    "allocate",
    "load module",
    "copy",
    "launch",
    "begin capture",
    "end capture",
    "upload graph",
)
EVERY_TIME = ("copy", "launch graph", "synchronize")


def run_once(run):
    np.testing.assert_array_equal(run(images(2))["logits"], expected(images(2)))


@pytest.mark.parametrize("call", [*AT_FIRST, "synchronize"])
@pytest.mark.parametrize("status", [1, 701])
def test_after_a_refusal_the_model_can_be_used(gpus, call, status):
    """An invalid value, too many registers: CUDA works on."""
    stand_in = gpus()
    stand_in.failures.plan(call, status)
    with pytest.raises(DeviceError, match=r"cuda:0 \(Emulated GPU\) fails: (cudaError|CUDA_ERROR)"):
        compiled(small_network())(images(2))
    assert cuda.open_gpu("cuda").failed is None
    run_once(compiled(small_network()))


@pytest.mark.parametrize("call", AT_FIRST[1:])
def test_after_memory_ran_out_the_same_executable_goes_on(gpus, call):
    """For weights, for the arena, for a kernel's code, while capturing and for the graph."""
    stand_in = gpus()
    run = compiled(small_network())
    stand_in.failures.plan(call, failures.OUT_OF_MEMORY)
    with pytest.raises(DeviceError, match=r"has no memory left.*can still be used|takes .* MB of memory.*can still be"):
        run(images(2))
    run_once(run)
    assert cuda.open_gpu("cuda").failed is None


def test_memory_is_let_go_when_the_kernels_that_ran_already_are_through(gpus):
    stand_in = gpus()
    run = compiled(small_network())
    stand_in.failures.plan("launch", 701, after=1)
    with pytest.raises(DeviceError, match="CUDA_ERROR"):
        run(images(2))
    assert not run._stream.waiting
    run_once(run)


def test_host_memory_that_cannot_be_pinned_is_ordinary(gpus):
    gpus().failures.plan("pin memory", failures.OUT_OF_MEMORY)
    assert cuda.open_gpu("cuda").host_memory(12).shape == (12,)


@pytest.mark.parametrize("status", cupy_failures.STICKY)
@pytest.mark.parametrize(("call", "first"), [*((c, True) for c in AT_FIRST), *((c, False) for c in EVERY_TIME)])
def test_after_a_sticky_error_everything_says_restart(gpus, call, first, status):
    stand_in, restart = gpus(), r"cuda:0 \(Emulated GPU\) has failed \(.*\); no further work .*: restart it"
    other = compiled(small_network())
    run = None if first else compiled(small_network())
    if run is not None:
        run_once(run)
    stand_in.failures.plan(call, status)
    with pytest.raises(DeviceError, match=restart):
        (run or compiled(small_network()))(images(2))
    before = dict(stand_in.failures.calls)
    with pytest.raises(DeviceError, match=restart):
        other(images(2))
    with pytest.raises(DeviceError, match=restart):
        other.time_steps(images(2))
    with pytest.raises(DeviceError, match=restart):
        cuda.open_gpu("cuda")
    other.close()
    del run, other
    gc.collect()
    assert dict(stand_in.failures.calls) == before, "CUDA was called again"
    assert stand_in.failures.noise == []


def test_without_care_destructors_are_heard(gpus, monkeypatch):
    """That the test above can fail."""
    monkeypatch.setattr(Context, "keep", lambda self, thing: thing)
    stand_in = gpus()
    run = compiled(small_network())
    run_once(run)
    stand_in.failures.plan("synchronize", 719)
    with pytest.raises(DeviceError):
        run(images(2))
    del run
    stand_in.forget()
    gc.collect()
    assert {"a stream", "a graph", "a kernel's module"} <= set(stand_in.failures.noise)


def test_memory_pools_outlive_a_failure(gpus):
    """Theirs are the blocks that a GPU's memory was taken from: CuPy's pools would free them at the end."""
    stand_in = gpus()
    cupy, run = stand_in.cupy, compiled(small_network())
    pools = cupy.get_default_memory_pool(), cupy.get_default_pinned_memory_pool()
    before = [sys.getrefcount(pool) for pool in pools]
    stand_in.failures.plan("synchronize", 719)
    with pytest.raises(DeviceError, match="restart it"):
        run(images(2))
    after = [sys.getrefcount(pool) for pool in pools]
    assert all(np.greater(after, before))


def test_other_gpus_go_on(gpus):
    stand_in = gpus(count=2)
    one, other = compiled(small_network()), compiled(small_network(), device="cuda:1")
    run_once(other)
    stand_in.failures.plan("synchronize", 700)
    with pytest.raises(DeviceError, match="cuda:0"):
        one(images(2))
    stand_in.failures.sticky = 0  # of the first GPU's context alone
    run_once(other)


def test_what_a_model_says_and_auto_chooses(gpus):
    stand_in = gpus()
    model, x = npresnet.load("demo", device="cuda"), np.zeros((1, 3, 8, 8), np.float32)
    model(x)
    stand_in.failures.plan("synchronize", 719)
    for _ in range(2):
        with pytest.raises(DeviceError, match="restart it"):
            model(x)
    model.close()
    with npresnet.load("demo", device="auto") as other:
        assert other.config["device"].value == "cpu"
        assert "restart it" in other.config["device"].note


def test_a_gpu_fails_while_other_threads_make_events(gpus):
    """Which are called to mind, one after the other, so that they are never destroyed."""
    gpus()
    gpu = cuda.open_gpu("cuda")
    kept, stop, before = [gpu.event() for _ in range(500)], threading.Event(), sys.getswitchinterval()

    def make() -> None:
        while not stop.is_set():
            kept.append(gpu.context.keep(Event()))

    threads = [threading.Thread(target=make) for _ in range(2)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for _ in range(10):
            assert "restart it" in gpu.context._told(cupy_failures.CUDARuntimeError(719, "unspecified launch failure"))
    finally:
        stop.set()
        sys.setswitchinterval(before)
        for thread in threads:
            thread.join()


FAILS_AND_ENDS = """
import pathlib, sys, tempfile
import numpy as np, pytest, npresnet
from tests.emulator.cupy_stand_in import CupyStandIn

class Loud(list):
    def append(self, what):
        print("Exception ignored in", what, file=sys.stderr)

stand_in = CupyStandIn().install(pytest.MonkeyPatch(), pathlib.Path(tempfile.mkdtemp()))
stand_in.failures.noise = Loud()
model, x = npresnet.load("demo", device="cuda"), np.zeros((1, 3, 8, 8), np.float32)
model(x)
stand_in.failures.plan("launch graph", 700)
try:
    model(x)
except npresnet.DeviceError as error:
    print(error)
"""


def test_the_interpreter_ends_quietly():
    done = subprocess.run(
        [sys.executable, "-c", FAILS_AND_ENDS], capture_output=True, text=True, cwd=REPOSITORY, timeout=60
    )
    assert "restart it" in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("call", ["copy", "launch graph", "synchronize"])
@pytest.mark.parametrize(("status", "words"), [(719, "restart it"), (1, "fails: cudaErrorInvalidValue")])
def test_in_the_middle_of_a_stream_of_pictures(gpus, call, status, words):
    stand_in = gpus()
    model = npresnet.build("cifar_resnet8", num_classes=3, device="cuda", preprocess={"resize": 8, "crop": 8})
    pictures = [np.zeros((8, 8, 3), np.uint8)] * 6
    assert len(list(model.stream(pictures, batch_size=1))) == 6
    stand_in.failures.plan(call, status, after=1)
    with pytest.raises(DeviceError, match=words):
        list(model.stream(pictures, batch_size=1))
    if status == 1:
        assert len(list(model.stream(pictures, batch_size=1))) == 6
    model.close()
    del model
    gc.collect()
    assert stand_in.failures.noise == []
