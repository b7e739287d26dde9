"""A cache of the compiled parts of a network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from npresnet import cpu, passes
from npresnet.cpu.compiler import prepared
from npresnet.errors import ArchitectureError, DeviceError
from npresnet.network import Network
from npresnet.system.locks import Lock
from npresnet.system.mapped_file import MappedFile
from npresnet.system.stamp import Identity

if TYPE_CHECKING:
    from npresnet.cuda import Normalisation, Pipeline
    from npresnet.plan.executable import Executable

CAPACITY = 4  # the whole network and three sets of features; each has its own folded weights

Modules = tuple[str, ...] | None  # None: the network's own outputs


class Executables:
    """Modules -> Executable, an LRU cache that is safe to use from several threads.

    An evicted executable is not closed because another thread may be running it; it is freed with its last reference.

    device, dtype            as returned by `decisions`: "cpu" and "float32", or "cuda:0" and any dtype
    threads, winograd, fast  options of `cpu.compile`
    content                  the weight file's identity; None if the weights are not from a file
    files                    mapped files that the network's weights lie in; checked by each call, before any compiling
    """

    def __init__(
        self,
        network: Network,
        threads: int,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        winograd: bool = True,
        fast: bool = False,
        content: Identity | None = None,
        files: Sequence[MappedFile] = (),
    ):
        self._network = network
        self._files = files
        self._backend = _Cpu(threads, winograd, fast, content) if device == "cpu" else _Cuda(device, dtype)
        self._kept: OrderedDict[Modules, Executable] = OrderedDict()
        self._pipelines: dict[Modules, Pipeline] = {}  # at most two: of the classifier, and of its input
        self._lock = Lock()
        self.closed = False

    def get(self, modules: Modules) -> Executable:
        """The executable that computes these modules, compiled if necessary.

        Raises DeviceError after `close`, CheckpointError if the weights' file has changed.
        """
        self.check_files()
        with self._lock.plain:
            self._require_open()
            executable = self._kept.get(modules)
            if executable is None:
                executable = self._backend.compile(self._part(modules), is_whole=modules is None)
                self._kept[modules] = executable
            self._kept.move_to_end(modules)
            if len(self._kept) > CAPACITY:
                self._kept.popitem(last=False)
            return executable

    def pipeline(self, modules: Modules, pixels: Normalisation) -> Pipeline:
        """On a GPU: what computes these modules from pixels; the normalisation is always the same."""
        self.check_files()
        with self._lock.plain:
            self._require_open()
            pipeline = self._pipelines.get(modules)
            if pipeline is None:
                assert isinstance(self._backend, _Cuda)
                pipeline = self._pipelines[modules] = self._backend.pipeline(self._part(modules), pixels)
            return pipeline

    def check_files(self) -> None:
        """Raise CheckpointError if a file with weights was written into."""
        for file in self._files:
            file.check()

    def close(self) -> None:
        """Release all executables."""
        with self._lock.plain:
            self.closed = True
            self._kept.clear()
            self._pipelines.clear()
            self._backend.close()

    def _part(self, modules: Modules) -> Network:
        return passes.optimize(self._network if modules is None else self._network.with_outputs(modules))

    def _require_open(self) -> None:
        if self.closed:
            raise DeviceError("this model is closed; load it again, or use it inside its `with` block")


class _Cpu:
    """Only the whole network's prepared weights are cached between processes."""

    def __init__(self, threads: int, winograd: bool, fast: bool, content: Identity | None):
        self._options: dict[str, Any] = {"threads": threads, "winograd": winograd, "fast": fast}
        self._content = content

    def compile(self, network: Network, *, is_whole: bool) -> Executable:
        store = prepared.store_of(self._content) if is_whole else None
        return cpu.compile(network, **self._options, store=store)

    def close(self) -> None:
        """Does nothing."""


class _Cuda:
    """All parts of the network share the weights on the GPU."""

    def __init__(self, device: str, dtype: str):
        from npresnet import cuda  # only if a GPU is requested

        self._cuda, self._gpu, self._element = cuda, cuda.open_gpu(device), cuda.ELEMENTS[dtype]
        self._weights: cuda.Weights | None = cuda.Weights(self._gpu)

    def compile(self, network: Network, *, is_whole: bool) -> Executable:
        return self._cuda.compile(network, self._gpu, self._element, self._weights)

    def pipeline(self, network: Network, pixels: Normalisation) -> Pipeline:
        assert self._weights is not None
        return self._cuda.Pipeline(network, self._gpu, self._element, self._weights, pixels)

    def close(self) -> None:
        self._weights = None


def module_names(names: Any) -> tuple[str, ...]:
    """One name or several as a tuple. Raises ArchitectureError for anything but text."""
    wanted = (names,) if isinstance(names, str) or not isinstance(names, Iterable) else tuple(names)
    if not all(isinstance(name, str) for name in wanted):
        raise ArchitectureError(f"expected names of modules, such as 'layer3', got {names!r}")
    return wanted
