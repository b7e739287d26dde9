"""The stand-in for CuPy: it refuses what CuPy refuses, and notices what only a real GPU would punish."""

from __future__ import annotations

import types

import numpy as np
import pytest

from npresnet.cuda.activation import RELU
from npresnet.cuda.elements import ELEMENTS
from npresnet.cuda.launch import Source
from npresnet.cuda.launchers import activation
from npresnet.cuda.runtime import modules
from tests.emulator import emulator
from tests.emulator.cupy_memory import Memory
from tests.emulator.cupy_stand_in import CupyStandIn

pytestmark = emulator.needed
KERNEL = Source("activation/activation.cu", (("ELEMENT", "FLOAT32"),))


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    made = CupyStandIn(count=2, memory_bytes=1 << 20).install(monkeypatch, tmp_path)
    yield made
    made.forget()


def kernel(stand_in, name="activation_scalar"):
    return stand_in.cupy.RawModule(path=str(modules.module_path(KERNEL, 90, 12))).get_function(name)


def arguments(x):
    (launch,) = activation.launches(x.size, ELEMENTS["float32"], RELU, x=x.data.ptr, y=x.data.ptr)
    return launch.grid, launch.block, launch.args


@pytest.mark.parametrize("wrong", ["x", (1, 2), np.zeros(2, np.int32), np.zeros(1, [("a", "i4")])[0]], ids=repr)
def test_arguments_that_cupy_refuses(stand_in, wrong):
    with pytest.raises(TypeError):
        kernel(stand_in)((1,), (1,), (wrong,))


def test_sizes_are_tuples(stand_in):
    with pytest.raises(TypeError):
        kernel(stand_in)([1, 1, 1], (1,), ())


def test_work_waits_until_somebody_synchronises(stand_in):
    x = stand_in.asarray(-np.ones(5, np.float32))
    stream = stand_in.cupy.cuda.Stream(non_blocking=True)
    with stream:
        kernel(stand_in)(*arguments(x))
    assert (x._view == -1).all()
    stream.synchronize()
    assert (x._view == 0).all()


def test_a_graph_replays_what_was_captured(stand_in):
    x, clamp = stand_in.asarray(-np.ones(5, np.float32)), kernel(stand_in)
    stream = stand_in.cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        with pytest.raises(RuntimeError, match="loaded by its first launch"):
            clamp(*arguments(x))
        stream.end_capture()
        clamp(*arguments(x))
        stream.synchronize()
        stream.begin_capture()
        clamp(*arguments(x))
        with pytest.raises(RuntimeError, match="while capturing"):
            stream.synchronize()
        graph = stream.end_capture()
    x._view[...] = -2
    graph.launch(stream)
    stream.synchronize()
    assert (x._view == 0).all()


def test_the_default_stream_is_not_captured(stand_in):
    with pytest.raises(RuntimeError, match="default"):
        stand_in.current_stream().begin_capture()


def test_memory_that_has_gone_is_no_argument(stand_in):
    x, stream = stand_in.asarray(np.ones(5, np.float32)), stand_in.cupy.cuda.Stream(non_blocking=True)
    launch = arguments(x)
    del x
    with stream:
        kernel(stand_in)(*launch)
    with pytest.raises(RuntimeError, match="not memory of this device"):
        stream.synchronize()


def test_more_shared_memory_has_to_be_asked_for(stand_in):
    clamp, x = kernel(stand_in), stand_in.asarray(np.ones(5, np.float32))
    with pytest.raises(RuntimeError, match="invalid argument"):
        clamp(*arguments(x), shared_mem=100 << 10)
    clamp.max_dynamic_shared_size_bytes = 100 << 10
    clamp(*arguments(x), shared_mem=100 << 10)
    with pytest.raises(RuntimeError, match="invalid argument"):
        clamp.max_dynamic_shared_size_bytes = 300 << 10


def test_memory_is_limited_counted_and_guarded(stand_in):
    gpu = stand_in.gpus[0]
    with pytest.raises(MemoryError):
        stand_in.cupy.cuda.alloc(2 << 20)
    memory = Memory(gpu, 100)
    assert gpu.used == 512
    memory.whole[:3] = 0
    del memory
    assert gpu.used == 0
    with pytest.raises(AssertionError, match="beside 100 bytes"):
        stand_in.check()


@pytest.mark.parametrize("side", ["GPU", "host"])
def test_writing_to_freed_memory_is_noticed(stand_in, side):
    """A copy that was put on its stream while the memory still lived."""
    cuda, runtime = stand_in.cupy.cuda, stand_in.cupy.cuda.runtime
    stream, device, host = cuda.Stream(non_blocking=True), cuda.alloc(16), np.frombuffer(cuda.alloc_pinned_memory(16))
    addresses = device.ptr, host.ctypes.data
    device.bytes[...] = host.view(np.uint8)[...] = 1
    if side == "GPU":
        runtime.memcpyAsync(*addresses, 16, runtime.memcpyHostToDevice, stream.ptr)
        del device
    else:
        runtime.memcpyAsync(*addresses[::-1], 16, runtime.memcpyDeviceToHost, stream.ptr)
        del host
    stand_in.check()
    stream.synchronize()
    with pytest.raises(AssertionError, match="after they were freed"):
        stand_in.check()


def test_a_stream_belongs_to_its_device(stand_in):
    stream = stand_in.cupy.cuda.Stream(non_blocking=True)
    with stand_in.cupy.cuda.Device(1), pytest.raises(RuntimeError, match="does not match"), stream:
        pass


def test_with_forgets_a_stream_that_was_put_to_use(stand_in):
    one, other = (stand_in.cupy.cuda.Stream(non_blocking=True) for _ in range(2))
    with one:
        with other:
            assert stand_in.current_stream() is other
        assert stand_in.current_stream() is one
    assert one.use() is stand_in.current_stream()
    with other:
        pass
    assert stand_in.current_stream().ptr == 0


def test_gpu_arrays_do_not_turn_into_numpy_s(stand_in):
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(stand_in.asarray(np.ones(2)))


def test_cupy_has_what_stands_in_for_it():
    """Where CuPy is installed, with or without a GPU."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    missing = []

    def compare(stand_in, real, path: str) -> None:
        for name, member in vars(stand_in).items():
            if name.startswith("__") and name != "__version__":
                continue
            if not hasattr(real, name):
                missing.append(f"{path}.{name}")
            elif isinstance(member, types.SimpleNamespace):
                compare(member, getattr(real, name), f"{path}.{name}")

    compare(CupyStandIn().cupy, cupy, "cupy")
    for stand_in, real in ((CupyStandIn().cupy.ndarray, cupy.ndarray), (CupyStandIn().cupy.RawModule, cupy.RawModule)):
        names = {name for name in vars(stand_in) if not name.startswith("_")}
        missing += [name for name in names if not hasattr(real, name)]
    assert missing == []


def test_memory_is_set_in_its_turn(stand_in):
    x, stream = stand_in.asarray(np.ones(5, np.float32)), stand_in.cupy.cuda.Stream(non_blocking=True)
    stand_in.cupy.cuda.runtime.memsetAsync(x.data.ptr, 0xFF, 12, stream.ptr)
    assert (x._view == 1).all()
    stream.synchronize()
    assert np.isnan(x._view[:3]).all()
    assert (x._view[3:] == 1).all()
    with pytest.raises(RuntimeError, match="not memory of this device"):
        stand_in.cupy.cuda.runtime.memsetAsync(x.data.ptr, 0xFF, 24, stream.ptr)
