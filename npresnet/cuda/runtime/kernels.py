"""Kernels of one GPU, loaded once each, and launches made ready to be called."""

from __future__ import annotations

from typing import Any, NamedTuple

from npresnet.cuda.launch import Dim3, Launch
from npresnet.cuda.runtime import tensor_map
from npresnet.cuda.runtime.context import Context
from npresnet.cuda.runtime.tensor_map import TensorMap

USUAL_SHARED_BYTES = 48 << 10  # a kernel that wants more has to say so beforehand


class Call(NamedTuple):
    """A launch with its kernel loaded and its arguments ready."""

    kernel: Any
    grid: Dim3
    block: Dim3
    args: tuple[Any, ...]
    shared_bytes: int

    def put(self) -> None:
        """On CuPy's current stream."""
        self.kernel(self.grid, self.block, self.args, shared_mem=self.shared_bytes)


class Kernels:
    """Not for several threads at once."""

    def __init__(self, cupy: Any, context: Context):
        self._cupy = cupy
        self._modules: dict[str, Any] = {}
        self._kernels: dict[tuple[str, str], Any] = {}
        self._shared_bytes: dict[tuple[str, str], int] = {}
        context.keep(self)

    def ready(self, launch: Launch, path: str) -> Call:
        """The launch of a kernel in the module at `path`."""
        kernel = self._kernel(path, launch.kernel, launch.shared_bytes)
        args = tuple(tensor_map.encode(arg) if isinstance(arg, TensorMap) else arg for arg in launch.args)
        return Call(kernel, launch.grid, launch.block, args, launch.shared_bytes)

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
