"""A `cupy` for machines without a GPU: the part of it that npresnet uses, its kernels run by the emulator.

    stand_in = CupyStandIn(capability=80, memory_bytes=1 << 28)
    stand_in.install(monkeypatch, folder)         # `import cupy` gives stand_in.cupy; nothing is compiled by NVRTC
    stand_in.check()                              # nothing was written beside memory, or to memory that was freed

What its parts do and refuse stands in cupy_memory.py, cupy_streams.py, cupy_arrays.py and cupy_kernels.py.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import sys
import threading
import types
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from npresnet.cuda.launch import Source
from npresnet.cuda.runtime import extended_launch, modules, nvrtc, tensor_map
from npresnet.cuda.runtime import gpu as runtime
from npresnet.cuda.runtime.tensor_map import TensorMap
from npresnet.errors import DeviceError
from tests.emulator import tensor_map as emulated_map
from tests.emulator.cupy_arrays import NdArray
from tests.emulator.cupy_driver import Driver
from tests.emulator.cupy_failures import CUDADriverError, CUDARuntimeError
from tests.emulator.cupy_kernels import RawModule
from tests.emulator.cupy_machine import Device, Machine
from tests.emulator.cupy_memory import POISON, Memory, OutOfMemoryError
from tests.emulator.cupy_streams import Event, Stream

HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE = 1, 2, 3


class CupyStandIn(Machine):
    """An emulated machine, and the `cupy` that sees it; made with what `Machine` takes."""

    def __init__(self, **how: Any):
        super().__init__(**how)
        self.nulls += [self._null(index) for index in range(len(self.gpus))]
        self.cupy = self._module()
        self.libcuda = Driver(self)

    def install(self, monkeypatch: Any, folder: Path) -> CupyStandIn:
        """Be `import cupy`; `folder` gets what stands for compiled kernels."""
        self._folder = folder
        monkeypatch.setitem(sys.modules, "cupy", self.cupy)
        monkeypatch.setattr(modules, "module_path", self._module_path)
        monkeypatch.setattr(nvrtc, "open_nvrtc", self._open_nvrtc)
        monkeypatch.setattr(tensor_map, "encode", self._encode)
        monkeypatch.setattr(extended_launch, "launcher", lambda: self.libcuda)
        runtime._open.cache_clear()
        return self

    def check(self) -> None:
        """Raises AssertionError where something was written beside memory that has been freed since, or to it later."""
        faults = [fault for gpu in self.gpus for fault in (*gpu.faults, *gpu.gone.written())]
        faults += self.pinned_gone.written()
        assert not faults, faults

    def forget(self) -> None:
        """Nobody opens this machine's GPUs any more."""
        runtime._open.cache_clear()

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
        pool, pinned_pool = types.SimpleNamespace(free_bytes=lambda: 0), types.SimpleNamespace()
        members: dict[str, Any] = {
            "__version__": "13.6.0",
            "ndarray": NdArray,
            "RawModule": RawModule,
            "empty": self._empty,
            "asarray": lambda x: x.cupy_array,
            "from_dlpack": lambda x: x.__dlpack__(),
            "asnumpy": lambda x: x.get(),
            "get_default_memory_pool": lambda: pool,
            "get_default_pinned_memory_pool": lambda: pinned_pool,
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
            alloc=self._alloc,
            set_allocator=lambda allocator=None: None,  # there is no pool
            alloc_pinned_memory=self._alloc_pinned,
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
            memsetAsync=self._memset,
            getDeviceCount=self._count,
            getDeviceProperties=self._properties,
            driverGetVersion=lambda: self.driver,
            runtimeGetVersion=lambda: self.version,
        )

    def _alloc(self, size: int) -> Memory:
        self.failures.meet("allocate")
        return Memory(self.gpus[self.current_device()], size)

    def _alloc_pinned(self, size: int) -> ctypes.Array[ctypes.c_uint8]:
        self.failures.meet("pin memory")
        whole = np.full(size, POISON, np.uint8)
        memory = (ctypes.c_uint8 * size).from_buffer(whole)  # no array, of which others would keep only `whole`
        weakref.finalize(memory, self.pinned_gone.add, whole)
        return memory

    def _count(self) -> int:
        if self.driver // 1000 < self.version // 1000:
            raise CUDARuntimeError(35, "cudaErrorInsufficientDriver: CUDA driver version is insufficient")
        if not self.gpus:
            raise CUDARuntimeError(100, "cudaErrorNoDevice: no CUDA-capable device is detected")
        return len(self.gpus)

    def _properties(self, index: int) -> dict[str, Any]:
        self.failures.meet("properties")
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
        self.failures.meet("copy")
        gpu = self.gpus[self.current_device()]
        if kind != DEVICE_TO_HOST:
            gpu.require(to, size, "a copy to")
        if kind != HOST_TO_DEVICE:
            gpu.require(source, size, "a copy from")
        self._stream(stream_ptr).put(lambda: ctypes.memmove(to, source, size))

    def _memset(self, to: int, byte: int, size: int, stream_ptr: int) -> None:
        self.gpus[self.current_device()].require(to, size, "memset of")
        self._stream(stream_ptr).put(lambda: ctypes.memset(to, byte, size))

    def _stream(self, stream_ptr: int) -> Stream:
        stream: Stream | None = self.streams[stream_ptr, self.current_device()]()
        assert stream is not None, "this stream is gone"
        return stream
