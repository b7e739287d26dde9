"""A `cupy` for machines without a GPU: the part of it that npresnet uses, its kernels run by the emulator.

    stand_in = CupyStandIn(capability=80, memory_bytes=1 << 28)
    stand_in.install(monkeypatch, folder)         # `import cupy` gives stand_in.cupy; nothing is compiled by NVRTC

- What goes on a stream waits there until somebody synchronises: results read too early are NaN, and host memory that is
  used again too early has changed.
- Memory is poisoned with NaN, and between zones that nobody may touch: `stand_in.check()` looks at them. Addresses that
  copies and kernels are given must lie in memory that is alive.
- Kernels take what CuPy's take, and refuse what it refuses. A kernel has to have run once before it is captured, and to
  be allowed its dynamic shared memory.
"""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import json
import sys
import threading
import types
import weakref
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from npresnet.cuda import modules, nvrtc, runtime, tensor_map
from npresnet.cuda.launch import Launch, Source
from npresnet.cuda.tensor_map import TensorMap
from npresnet.errors import DeviceError
from tests.emulator import emulator
from tests.emulator import tensor_map as emulated_map

ZONE_BYTES = 1024
POISON = 0xFF
SHARED_LIMIT = {75: 64 << 10, 80: 163 << 10, 90: 227 << 10, 100: 227 << 10}  # others: 99 KiB
USUAL_SHARED = 48 << 10
HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE = 1, 2, 3


class CUDARuntimeError(RuntimeError):
    """As CuPy's: `status` is CUDA's number."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


class CUDADriverError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class Memory:
    """A block of a GPU's memory between its zones; freed with its last reference."""

    def __init__(self, gpu: EmulatedGpu, size: int):
        taken = -(-size // 512) * 512  # as CuPy's pool hands it out
        if gpu.used + taken > gpu.memory_bytes:
            raise OutOfMemoryError(f"Out of memory allocating {taken:,} bytes")
        self.whole = np.full(size + 2 * ZONE_BYTES + 512, POISON, np.uint8)
        start = ZONE_BYTES + -(self.whole.ctypes.data + ZONE_BYTES) % 512
        self.bytes = self.whole[start : start + size]
        self.gpu, self.ptr, self.size = gpu, self.bytes.ctypes.data, size
        gpu.used += taken
        gpu.most_used = max(gpu.most_used, gpu.used)
        gpu.live[self.ptr] = size
        weakref.finalize(self, gpu.freed, self.ptr, taken, self.whole, start, size)


class EmulatedGpu:
    """What there is of one device."""

    def __init__(self, index: int, memory_bytes: int):
        self.index, self.memory_bytes = index, memory_bytes
        self.used = self.most_used = 0
        self.live: dict[int, int] = {}
        self.faults: list[str] = []

    def freed(self, ptr: int, taken: int, whole: np.ndarray, start: int, size: int) -> None:
        self.used -= taken
        del self.live[ptr]
        if (whole[:start] != POISON).any() or (whole[start + size :] != POISON).any():
            self.faults.append(f"something was written beside {size} bytes of GPU memory")

    def require(self, address: int, size: int, what: str) -> None:
        """An address that somebody uses lies in live memory."""
        if not any(ptr <= address and address + size <= ptr + length for ptr, length in list(self.live.items())):
            raise CUDARuntimeError(700, f"cudaErrorIllegalAddress: {what} {address:#x} is no memory of this device")


class Stream:
    """Work that waits: callables, done when somebody synchronises."""

    numbers = itertools.count(1)

    def __init__(self, stand_in: CupyStandIn, *, null: bool = False, non_blocking: bool = False):
        self.stand_in, self.non_blocking = stand_in, non_blocking
        self.ptr = 0 if null else 4096 * next(self.numbers)
        self.device_id = stand_in.current_device()
        self.waiting: deque[Any] = deque()
        self.recorded: list[Any] | None = None
        self.lock = threading.RLock()
        stand_in.streams[self.ptr, self.device_id] = weakref.ref(self)

    def __enter__(self) -> Stream:
        self._require_device()
        self.stand_in.local.streams.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        self.stand_in.local.streams.pop()

    def _require_device(self) -> None:
        if self.device_id != self.stand_in.current_device():
            raise RuntimeError("The device that the stream is created on does not match with the current device")

    def put(self, work: Any) -> None:
        if self.recorded is None:
            self.waiting.append(work)
        else:
            self.recorded.append(work)

    def drain(self, marker: object = None) -> None:
        """Do what waits, all of it or up to a marker."""
        with self.lock:
            while self.waiting and (marker is None or marker in self.waiting):
                work = self.waiting.popleft()
                if callable(work):
                    work()

    def synchronize(self) -> None:
        if self.recorded is not None:
            raise CUDARuntimeError(900, "cudaErrorStreamCaptureUnsupported: operation not permitted while capturing")
        self.drain()

    def begin_capture(self, mode: int | None = None) -> None:
        if self.ptr == 0 or not self.non_blocking:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        self.recorded = []

    def end_capture(self) -> Graph:
        if self.recorded is None:
            raise CUDARuntimeError(901, "cudaErrorStreamCaptureInvalidated")
        recorded, self.recorded = self.recorded, None
        return Graph(recorded, self.device_id)

    def wait_event(self, event: Event) -> None:
        self.put(event.wait)


class Event:
    def __init__(self, block: bool = False, disable_timing: bool = False):
        self.stream: Stream | None = None
        self.marker: object = None
        self.stand_in = CupyStandIn.active

    def record(self, stream: Stream | None = None) -> None:
        self.stream = stream or self.stand_in.current_stream()
        self.marker = object()
        self.stream.put(self.marker)

    def wait(self) -> None:
        assert self.stream is not None
        self.stream.drain(self.marker)

    synchronize = wait


class Graph:
    def __init__(self, recorded: list[Any], device_id: int):
        self.recorded, self.device_id = recorded, device_id
        self.launched = 0

    def upload(self, stream: Stream | None = None) -> None:
        pass

    def launch(self, stream: Stream | None = None) -> None:
        stream = stream or CupyStandIn.active.current_stream()
        if stream.device_id != self.device_id:
            raise CUDARuntimeError(400, "cudaErrorInvalidResourceHandle: the graph belongs to another device")
        self.launched += 1
        for work in self.recorded:
            stream.put(work)


class RawKernel:
    def __init__(self, stand_in: CupyStandIn, module: dict[str, Any], name: str):
        self._stand_in, self._module, self._name = stand_in, module, name
        self._shared, self._launched = USUAL_SHARED, False

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self._shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        if size > SHARED_LIMIT.get(self._stand_in.capability, 99 << 10):
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: invalid argument")
        self._shared = size

    def __call__(self, grid: Any, block: Any, args: Any, *, shared_mem: int = 0, stream: Stream | None = None) -> None:
        if not (isinstance(grid, tuple) and isinstance(block, tuple)):
            raise TypeError("Argument 'grid' has incorrect type (expected tuple)")
        stream = stream or self._stand_in.current_stream()
        if shared_mem > self._shared:
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: invalid argument")
        if stream.recorded is not None and not self._launched:
            raise CUDADriverError("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED: a kernel is loaded by its first launch")
        values = tuple(_argument(value) for value in args)
        gpu = self._stand_in.gpus[self._stand_in.current_device()]
        source = Source(self._module["file"], tuple((name, value) for name, value in self._module["defines"]))
        sizes = [tuple(max(1, int(n)) for n in (*dims, 1, 1)[:3]) for dims in (grid, block)]
        launch = Launch(source, self._name, sizes[0], sizes[1], values, int(shared_mem))  # type: ignore[arg-type]
        self._launched = True

        def run() -> None:
            for value in values:
                if isinstance(value, np.uint64) and value > 1 << 32:  # an address rather than a count
                    gpu.require(int(value), 1, f"{self._name}'s argument")
            emulator.run([launch], architecture=self._stand_in.architecture)
            self._stand_in.kernels.append(self._name)

        stream.put(run)


class RawModule:
    def __init__(self, *, code: str | None = None, path: str | None = None):
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        self._path = path

    def get_function(self, name: str) -> RawKernel:
        assert self._path is not None
        module = json.loads(Path(self._path).read_text())
        stand_in = CupyStandIn.active
        if module["capability"] != stand_in.capability:
            raise CUDADriverError("CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image is available for execution")
        return RawKernel(stand_in, module, name)


class Flags:
    def __init__(self, view: np.ndarray):
        self.c_contiguous = view.flags.c_contiguous


class NdArray:
    """cupy.ndarray: a view of GPU memory that NumPy does not get at."""

    def __init__(self, view: np.ndarray, memory: Memory):
        self._view, self._memory = view, memory
        self.device = types.SimpleNamespace(id=memory.gpu.index)
        self.data = types.SimpleNamespace(ptr=view.ctypes.data, mem=memory)
        self.shape, self.dtype, self.strides, self.ndim = view.shape, view.dtype, view.strides, view.ndim
        self.size, self.nbytes, self.flags = view.size, view.nbytes, Flags(view)

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, index: Any) -> NdArray:
        return NdArray(self._view[index], self._memory)

    def transpose(self, *axes: int) -> NdArray:
        return NdArray(self._view.transpose(*axes), self._memory)

    def get(self) -> np.ndarray:
        CupyStandIn.active.current_stream().synchronize()
        return self._view.copy()

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.device.id

    def __dlpack__(self, stream: int | None = None) -> NdArray:
        return self


class Device:
    def __init__(self, index: int = 0):
        stand_in = CupyStandIn.active
        self.id, self._stand_in = index, stand_in
        self._before: list[int] = []  # the object's, not the thread's, as in CuPy

    def __enter__(self) -> Device:
        self._before.append(self._stand_in.local.device)
        self._stand_in.local.device = self.id
        return self

    def __exit__(self, *error: object) -> None:
        self._stand_in.local.device = self._before.pop()

    @property
    def mem_info(self) -> tuple[int, int]:
        gpu = self._stand_in.gpus[self.id]
        return gpu.memory_bytes - gpu.used, gpu.memory_bytes


class Local(threading.local):
    def __init__(self) -> None:
        self.device = 0
        self.streams: list[Stream] = []


class CupyStandIn:
    """One emulated machine.

    capability      75, 80, 90, ... of its GPUs; multiprocessors: how many they say they have
    driver          the CUDA that the driver says it supports, 12040; 0: there is none
    has_nvrtc       False: the compiler is not installed
    kernels         names of those that have run
    """

    active: CupyStandIn

    def __init__(
        self,
        *,
        capability: int = 90,
        count: int = 1,
        memory_bytes: int = 1 << 30,
        multiprocessors: int = 132,
        driver: int = 12090,
        version: int = 12090,
        name: str = "Emulated GPU",
        has_nvrtc: bool = True,
    ):
        self.capability, self.multiprocessors, self.name = capability, multiprocessors, name
        self.driver, self.version, self.has_nvrtc = driver, version, has_nvrtc
        self.gpus = [EmulatedGpu(index, memory_bytes) for index in range(count)]
        self.local = Local()
        self.streams: dict[tuple[int, int], weakref.ref[Stream]] = {}
        self.kernels: list[str] = []
        CupyStandIn.active = self
        self._nulls = [self._null(index) for index in range(count)]
        self.cupy = self._module()

    @property
    def architecture(self) -> int:
        """What the emulator compiles for: it knows 75, 80 and 90."""
        return 75 if self.capability < 80 else 90 if self.capability == 90 else 80

    def install(self, monkeypatch: Any, folder: Path) -> CupyStandIn:
        """Be `import cupy`; `folder` gets what stands for compiled kernels."""
        self._folder = folder
        monkeypatch.setitem(sys.modules, "cupy", self.cupy)
        monkeypatch.setattr(modules, "module_path", self._module_path)
        monkeypatch.setattr(nvrtc, "open_nvrtc", self._open_nvrtc)
        monkeypatch.setattr(tensor_map, "encode", self._encode)
        runtime._open.cache_clear()
        return self

    def check(self) -> None:
        """Raises AssertionError where something was written beside memory that has been freed since."""
        faults = [fault for gpu in self.gpus for fault in gpu.faults]
        assert not faults, faults

    def forget(self) -> None:
        """Nobody opens this machine's GPUs any more."""
        runtime._open.cache_clear()

    def current_device(self) -> int:
        return self.local.device

    def current_stream(self) -> Stream:
        mine = [stream for stream in self.local.streams if stream.device_id == self.current_device()]
        return mine[-1] if mine else self._nulls[self.current_device()]

    def asarray(self, array: np.ndarray, device: int = 0) -> NdArray:
        """A copy on a GPU."""
        memory = Memory(self.gpus[device], max(1, array.nbytes))
        view = memory.bytes[: array.nbytes].view(array.dtype).reshape(array.shape)
        view[...] = array
        return NdArray(view, memory)

    def _null(self, index: int) -> Stream:
        with Device(index):
            return Stream(self, null=True)

    def _module_path(self, wanted: Source, capability: int, major: int | None = None) -> Path:
        assert major == self.version // 1000, "compiled for another CUDA than CuPy's"
        text = json.dumps({"file": wanted.file, "defines": wanted.defines, "capability": capability})
        path = self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.cubin"
        if not path.exists():
            partial = path.with_suffix(f".{threading.get_ident()}")
            partial.write_text(text)
            partial.replace(path)  # another thread may be about to read it
        return path

    def _open_nvrtc(self, major: int | None = None) -> Any:
        if not self.has_nvrtc:
            raise DeviceError(f"NVRTC of CUDA {major} is not installed: pip install 'npresnet[cuda{major}]'")
        return types.SimpleNamespace(version=(major, 9))

    def _encode(self, tensor: TensorMap) -> np.ndarray:
        self.gpus[self.current_device()].require(tensor.address, 1, "a tensor map's address")
        return emulated_map.pack(tensor)

    # --- the module ------------------------------------------------------------------------------------------------

    def _module(self) -> types.ModuleType:
        cupy = types.ModuleType("cupy")
        members: dict[str, Any] = {
            "__version__": "13.6.0",
            "ndarray": NdArray,
            "RawModule": RawModule,
            "empty": self._empty,
            "asarray": lambda x: x.cupy_array,
            "from_dlpack": lambda x: x.__dlpack__(),
            "asnumpy": lambda x: x.get(),
            "get_default_memory_pool": lambda: types.SimpleNamespace(free_bytes=lambda: 0),
            "cuda": self._cuda(),
        }
        for name, member in members.items():
            setattr(cupy, name, member)
        return cupy

    def _cuda(self) -> Any:
        return types.SimpleNamespace(
            Device=Device,
            Event=Event,
            Stream=lambda **how: Stream(self, **how),
            alloc=lambda size: Memory(self.gpus[self.current_device()], size),
            alloc_pinned_memory=lambda size: np.full(size, POISON, np.uint8),
            get_current_stream=self.current_stream,
            get_elapsed_time=lambda start, stop: 1.0,
            memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            driver=types.SimpleNamespace(CUDADriverError=CUDADriverError),
            runtime=self._runtime(),
        )

    def _runtime(self) -> Any:
        return types.SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            is_hip=False,
            memcpyHostToDevice=HOST_TO_DEVICE,
            memcpyDeviceToHost=DEVICE_TO_HOST,
            memcpyDeviceToDevice=DEVICE_TO_DEVICE,
            memcpyAsync=self._memcpy,
            getDeviceCount=self._count,
            getDeviceProperties=self._properties,
            driverGetVersion=lambda: self.driver,
            runtimeGetVersion=lambda: self.version,
        )

    def _count(self) -> int:
        if self.driver // 1000 < self.version // 1000:
            raise CUDARuntimeError(35, "cudaErrorInsufficientDriver: CUDA driver version is insufficient")
        if not self.gpus:
            raise CUDARuntimeError(100, "cudaErrorNoDevice: no CUDA-capable device is detected")
        return len(self.gpus)

    def _properties(self, index: int) -> dict[str, Any]:
        return {
            "name": self.name.encode(),
            "major": self.capability // 10,
            "minor": self.capability % 10,
            "multiProcessorCount": self.multiprocessors,
            "totalGlobalMem": self.gpus[index].memory_bytes,
        }

    def _empty(self, shape: tuple[int, ...], dtype: Any) -> NdArray:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory = Memory(self.gpus[self.current_device()], max(1, size))
        return NdArray(memory.bytes[:size].view(dtype).reshape(shape), memory)

    def _memcpy(self, to: int, source: int, size: int, kind: int, stream_ptr: int) -> None:
        gpu = self.gpus[self.current_device()]
        if kind != DEVICE_TO_HOST:
            gpu.require(to, size, "a copy to")
        if kind != HOST_TO_DEVICE:
            gpu.require(source, size, "a copy from")
        stream = self.streams[stream_ptr, self.current_device()]()
        assert stream is not None, "this stream is gone"
        stream.put(lambda: ctypes.memmove(to, source, size))


def _argument(value: Any) -> Any:
    """As CuPy makes a kernel's argument of it, copied as a launch does."""
    if value is None:
        return np.uint64(0)
    if isinstance(value, NdArray):
        return np.uint64(value.data.ptr)
    if isinstance(value, np.ndarray):
        if value.size != 1:
            raise TypeError(f"You are trying to pass a numpy.ndarray of shape {value.shape} as a kernel parameter.")
        return value.copy()
    if isinstance(value, bool):
        return np.bool_(value)
    if isinstance(value, int) and not isinstance(value, np.integer):
        return np.int64(value)
    if isinstance(value, float) and not isinstance(value, np.floating):
        return np.float64(value)
    if isinstance(value, (np.bool_, np.number)):
        return value
    raise TypeError(f"Unsupported type {type(value)}")
