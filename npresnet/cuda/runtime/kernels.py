"""Kernels of one GPU, loaded once each, launches made ready to be called, and graphs of them."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from npresnet.cuda.launch import Dim3, Launch
from npresnet.cuda.runtime import extended_launch, tensor_map
from npresnet.cuda.runtime.context import Context
from npresnet.cuda.runtime.extended_launch import ExtendedLaunch
from npresnet.cuda.runtime.gpus import Found
from npresnet.cuda.runtime.tensor_map import TensorMap
from npresnet.errors import DeviceError

USUAL_SHARED_BYTES = 48 << 10  # a kernel that wants more has to say so beforehand


class Call(NamedTuple):
    """A launch with its kernel loaded and its arguments ready.

    extended  how the driver is to launch it where that is more than a grid of blocks; CuPy launches all others
    """

    kernel: Any
    grid: Dim3
    block: Dim3
    args: tuple[Any, ...]
    shared_bytes: int
    extended: ExtendedLaunch | None = None


class Graph:
    """Captured calls, replayed by `launch(stream)`."""

    def __init__(self, graph: Any):
        self._graph = graph

    def launch(self, stream: Any) -> None:
        """Put all of them on a stream, by one call of CUDA."""
        self._graph.launch(stream)


class Kernels:
    """Not for several threads at once."""

    def __init__(self, cupy: Any, context: Context, found: Found):
        self._cupy = cupy
        self._context = context
        self._found = found
        self._modules: dict[str, Any] = {}
        self._kernels: dict[tuple[str, str], Any] = {}
        self._shared_bytes: dict[tuple[str, str], int] = {}
        context.keep(self)

    def ready(self, launch: Launch, path: str) -> Call:
        """The launch of a kernel in the module at `path`. Raises DeviceError where this GPU cannot launch it so."""
        if launch.is_extended:
            extended_launch.require(launch, self._context.device, self._found.capability)
        kernel = self._kernel(path, launch.kernel, launch.shared_bytes)
        args = tuple(tensor_map.encode(arg) if isinstance(arg, TensorMap) else arg for arg in launch.args)
        extended = self._extended(launch, args, kernel.kernel.ptr) if launch.is_extended else None
        return Call(kernel, launch.grid, launch.block, args, launch.shared_bytes, extended)

    def put(self, call: Call, stream: Any) -> None:
        """A call on a stream."""
        if call.extended is None:
            call.kernel(call.grid, call.block, call.args, shared_mem=call.shared_bytes, stream=stream)
        else:
            self._check(call.extended.put(stream))

    def _kernel(self, path: str, name: str, shared_bytes: int) -> Any:
        """Loaded, and allowed as much dynamic shared memory as any of its launches wants."""
        key = path, name
        if key not in self._kernels:
            if path not in self._modules:
                self._modules[path] = self._cupy.RawModule(path=path)
            self._kernels[key] = self._modules[path].get_function(name)
        if shared_bytes > self._shared_bytes.get(key, USUAL_SHARED_BYTES):
            self._kernels[key].max_dynamic_shared_size_bytes = self._shared_bytes[key] = shared_bytes
        return self._kernels[key]

    def _extended(self, launch: Launch, args: tuple[Any, ...], function: int) -> ExtendedLaunch:
        if launch.cooperative:
            self._require_residence(launch, function)
        return extended_launch.ready(launch, args, function)

    def _require_residence(self, launch: Launch, function: int) -> None:
        status, each = extended_launch.resident_blocks(function, launch)
        self._check(status)
        blocks, room = prod(launch.grid), each * self._found.multiprocessors
        if blocks > room:
            raise DeviceError(
                f"{launch.kernel} is to be launched with all of its {blocks} blocks running at once; "
                f"{self._context.device} has room for {room}, {each} on each of its {self._found.multiprocessors} "
                "multiprocessors"
            )

    def _check(self, status: int) -> None:
        """Raises CuPy's error of the driver's number, which has the driver's name for it."""
        if status:
            raise self._cupy.cuda.driver.CUDADriverError(status)
