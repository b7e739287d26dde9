"""One GPU through CuPy, which no other file imports: opening it, memory, copies, kernels, graphs, times.

CuPy's own elementwise and reduction kernels are left alone: they compile against CUDA's headers, which an installation
of CuPy and NVRTC does not have. What is used is memory, copies, modules, streams, events and graphs.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from npresnet.cuda.launch import Launch, Source
from npresnet.cuda.runtime import failures, modules, nvrtc
from npresnet.cuda.runtime.context import Context
from npresnet.cuda.runtime.gpus import find_gpu, import_cupy, version_text
from npresnet.cuda.runtime.kernels import Call, Graph, Kernels
from npresnet.errors import DeviceError, ShapeError
from npresnet.network import Array

__all__ = ["Buffer", "Call", "Gpu", "Graph", "open_gpu"]

CUDA_MEMORY = (2, 13)  # DLPack's kDLCUDA, kDLCUDAManaged


class Buffer(NamedTuple):
    """A block of the GPU's memory; CuPy's pool takes it back when the last reference goes."""

    address: int
    size_bytes: int
    owner: Any


def open_gpu(device: str) -> Gpu:
    """The GPU called "cuda" (the first), "cuda:0", "cuda:1", ...

    Raises DeviceError, which says what is missing; or, where it has failed, that the process must be restarted.
    """
    gpu = _open(int(device.partition(":")[2] or 0))
    gpu.context.require_working()
    return gpu


@functools.cache
def _open(index: int) -> Gpu:
    return Gpu(index)


class Gpu:
    """One NVIDIA GPU. Safe to use from several threads.

    device           "cuda:0"
    name             "NVIDIA H200"
    capability       90 for 9.0
    multiprocessors  how many blocks run at once, at least
    memory_bytes     all of it, in use or not
    cuda_major       of the CUDA that CuPy was made for
    context          whether it works, and what belongs to it
    """

    def __init__(self, index: int):
        self.device = f"cuda:{index}"
        found = find_gpu(index)
        self.name, self.capability = found.name, found.capability
        self.multiprocessors, self.memory_bytes = found.multiprocessors, found.memory_bytes
        self.cuda_major = found.cuda_major
        self._cupy = import_cupy()
        self._index = index
        self._paths: dict[Source, str] = {}
        self.context = Context(self._cupy, index, f"{self.device} ({self.name})")
        self._kernels = Kernels(self._cupy, self.context, found)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<{self.device} {self.name}>"

    def description(self) -> str:
        """In one line, for people."""
        versions = ", ".join(f"{name} {number}" for name, number in self.versions().items())
        size = f"{self.memory_bytes / 1e9:.1f} GB"
        return f"{self.device}, {self.name}, compute capability {self.capability / 10:.1f}, {size}; {versions}"

    def versions(self) -> dict[str, str]:
        """Of what it runs with."""
        runtime, compiler = self._cupy.cuda.runtime, nvrtc.open_nvrtc(self.cuda_major)
        return {
            "cupy": self._cupy.__version__,
            "CUDA of CuPy": version_text(runtime.runtimeGetVersion()),
            "CUDA of the driver": version_text(runtime.driverGetVersion()),
            "nvrtc": ".".join(map(str, compiler.version)),
        }

    @property
    def failed(self) -> str | None:
        """None, or what it has failed with: a sticky error, after which nothing runs in this process any more."""
        return self.context.failed

    def active(self) -> AbstractContextManager[None]:
        """Make this the thread's current GPU; CUDA's errors become DeviceErrors. Raises at once where it has failed."""
        return self.context.active()

    # --- memory ----------------------------------------------------------------------------------------------------

    def allocate(self, size_bytes: int, purpose: str) -> Buffer:
        """Memory for `purpose`, in words for the message. Raises DeviceError: how much was asked, how much is left.

        On a stream without work: CuPy's pool reuses memory that was freed on the same one, where the caller's work may
        still use it, and ours runs on others.
        """
        cuda = self._cupy.cuda
        with self.active():
            callers = cuda.get_current_stream()
            try:
                self._idle_stream.use()
                owner = cuda.alloc(max(1, size_bytes))
                self._idle_stream.synchronize()  # for allocators that put the allocation on the stream
            except cuda.memory.OutOfMemoryError:
                pass
            except cuda.runtime.CUDARuntimeError as error:
                if error.status != failures.OUT_OF_MEMORY:
                    raise
            else:
                return Buffer(int(owner.ptr), size_bytes, owner)
            finally:
                callers.use()  # leaving CuPy's `with stream` would forget a stream of the caller's that was put to use
            raise DeviceError(self._too_much(size_bytes, purpose))

    @functools.cached_property
    def _idle_stream(self) -> Any:
        return self.stream()

    def free_bytes(self) -> int:
        """What is left of the memory, CuPy's own reserve included."""
        with self.active():
            free, _ = self._cupy.cuda.Device(self._index).mem_info
            return int(free) + int(self._cupy.get_default_memory_pool().free_bytes())

    def _too_much(self, size_bytes: int, purpose: str) -> str:
        free, total = self.free_bytes() / 1e6, self.memory_bytes / 1e6
        return (
            f"{purpose} takes {size_bytes / 1e6:,.1f} MB of memory on {self.device} ({self.name}), of whose "
            f"{total:,.0f} MB {free:,.1f} MB are free. Give fewer images at a time (the model can still be used), or "
            'smaller ones, or load it with dtype="float16"'
        )

    def host_memory(self, size_bytes: int) -> Array:
        """Bytes on the host that the GPU reads and writes by itself; ordinary memory where there is no more of it."""
        try:
            with self.active():
                memory = self._cupy.cuda.alloc_pinned_memory(max(1, size_bytes))
        except DeviceError:
            self.context.require_working()
            return np.empty(size_bytes, np.uint8)
        return np.frombuffer(memory, np.uint8, size_bytes)

    def upload(self, address: int, array: Array, stream: Any) -> None:
        """A contiguous array to the GPU; `array` must stay as it is until the stream has come so far."""
        runtime = self._cupy.cuda.runtime
        runtime.memcpyAsync(address, array.ctypes.data, array.nbytes, runtime.memcpyHostToDevice, stream.ptr)

    def download(self, array: Array, address: int, stream: Any) -> None:
        """From the GPU into a contiguous array, which holds it when the stream has come so far."""
        runtime = self._cupy.cuda.runtime
        runtime.memcpyAsync(array.ctypes.data, address, array.nbytes, runtime.memcpyDeviceToHost, stream.ptr)

    def copy(self, to: int, source: int, size_bytes: int, stream: Any) -> None:
        """Within the GPU."""
        runtime = self._cupy.cuda.runtime
        runtime.memcpyAsync(to, source, size_bytes, runtime.memcpyDeviceToDevice, stream.ptr)

    def fill(self, address: int, byte: int, size_bytes: int, stream: Any) -> None:
        """Set every byte."""
        self._cupy.cuda.runtime.memsetAsync(address, byte, size_bytes, stream.ptr)

    # --- arrays of others ------------------------------------------------------------------------------------------

    def as_array(self, x: Any) -> Any:
        """x as a CuPy array where it lies on a GPU (CuPy, or whatever speaks DLPack), else as a NumPy array.

        Nothing is copied. Raises ShapeError for an array on another GPU; TypeError, ValueError, RuntimeError and
        BufferError, as NumPy and CuPy do, for what cannot be an array.
        """
        if not _lies_on_gpu(x):
            return np.asarray(x)
        with self.active():
            if not self.is_array(x):
                x = self._cupy.from_dlpack(x) if hasattr(x, "__dlpack__") else self._cupy.asarray(x)
        if x.device.id != self._index:
            raise ShapeError(f"this model is on {self.device}, the images on cuda:{x.device.id}; copy them over")
        return x

    def is_array(self, x: Any) -> bool:
        """Whether x is CuPy's."""
        return isinstance(x, self._cupy.ndarray)

    def new_array(self, shape: Sequence[int]) -> Any:
        """A float32 CuPy array, not yet written."""
        with self.active():
            return self._cupy.empty(tuple(shape), np.float32)

    def wait_for_caller(self, stream: Any) -> None:
        """Let `stream` begin when what the caller has put on CuPy's current stream is done."""
        event = self._event(disable_timing=True)
        event.record()  # on the current stream
        stream.wait_event(event)

    # --- kernels ---------------------------------------------------------------------------------------------------

    def stream(self) -> Any:
        """A new stream that does not wait for the default one, as capturing wants it."""
        with self.active():
            return self.context.keep(self._cupy.cuda.Stream(non_blocking=True))

    def event(self) -> Any:
        """A new event, which takes the time when a stream comes to it; who waits for it leaves the CPU to others."""
        with self.active():
            return self._event(block=True)

    def elapsed_ms(self, start: Any, stop: Any) -> float:
        """Milliseconds between two events, by the GPU's own clock, when streams have come to both."""
        return float(self._cupy.cuda.get_elapsed_time(start, stop))

    def settle(self, stream: Any) -> None:
        """Wait until nothing that was put on the stream can still write, whatever has gone wrong with it.

        On a GPU that has failed nothing runs any more, and there is nothing to wait for.
        """
        with suppress(DeviceError), self.active():
            stream.synchronize()

    def bind(self, launches: Sequence[Launch]) -> list[Call]:
        """Compile and load what is not yet, and make arguments ready. Raises DeviceError."""
        missing = {launch.source for launch in launches} - self._paths.keys()
        paths = modules.module_paths(missing, self.capability, self.cuda_major) if missing else {}
        with self.active(), self._lock:
            self._paths.update({source: str(path) for source, path in paths.items()})
            return [self._kernels.ready(launch, self._paths[launch.source]) for launch in launches]

    def run(self, calls: Sequence[Call], stream: Any) -> None:
        """Put calls on a stream, one after the other."""
        for call in calls:
            self._kernels.put(call, stream)

    def capture(self, calls: Sequence[Call], stream: Any) -> Graph:
        """The calls as one CUDA graph: `graph.launch(stream)` replays them. They have to have run once before."""
        stream.begin_capture()
        try:
            self.run(calls, stream)
        except BaseException:
            self._give_up_capture(stream)
            raise
        graph = stream.end_capture()
        held = self.context.keep(Graph(graph))
        graph.upload(stream)
        return held

    def _give_up_capture(self, stream: Any) -> None:
        """Leave the stream usable. An unfinished capture may be refused: the first error is the one to tell."""
        try:
            stream.end_capture()
        except RuntimeError:  # CuPy's errors of CUDA are such
            return

    def _event(self, **how: Any) -> Any:
        return self.context.keep(self._cupy.cuda.Event(**how))

    def time_ms(self, calls: Sequence[Call], stream: Any, repeats: int = 1) -> float:
        """Milliseconds of one run of the calls, the mean of `repeats` in a row, by the GPU's own clock."""
        with self.active():
            start, stop = self._event(), self._event()
            start.record(stream)
            for _ in range(repeats):
                self.run(calls, stream)
            stop.record(stream)
            stop.synchronize()
            return self.elapsed_ms(start, stop) / repeats

    def time_each_ms(self, groups: Sequence[Sequence[Call]], stream: Any) -> list[float]:
        """Milliseconds of each group of calls, one after the other, by the GPU's own clock."""
        with self.active():
            events = [self._event() for _ in range(len(groups) + 1)]
            events[0].record(stream)
            for calls, event in zip(groups, events[1:], strict=True):
                self.run(calls, stream)
                event.record(stream)
            events[-1].synchronize()
            return [self.elapsed_ms(start, stop) for start, stop in pairwise(events)]


def _lies_on_gpu(x: Any) -> bool:
    where = getattr(x, "__dlpack_device__", None)
    if where is None:
        return hasattr(x, "__cuda_array_interface__")
    return where()[0] in CUDA_MEMORY
