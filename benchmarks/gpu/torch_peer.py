"""PyTorch on the same GPU: the peer of the report.

Eager is measured as fast as it runs a checkpoint: channels_last, cuDNN's autotuner, inference mode, images that have
its precision and format already, and the whole network replayed as one CUDA graph, like ours. The layers are PyTorch's
own, in the order of torchvision's modules (`torch_graph`): BatchNorms too, which npresnet folds into the weights.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.gpu import subjects
from npresnet.bench import torch_graph
from npresnet.bench.gpu_timer import Racer
from npresnet.network import Array

WARM_UP_CALLS = 5


def find_peer(device: str) -> Peer | None:
    """PyTorch, where it is installed and supports a GPU; from now on it uses "cuda:1", or whatever `device` is."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    torch.cuda.set_device(int(device.partition(":")[2] or 0))
    return Peer(torch)


class Peer:
    """The report's interface to torch. All times are taken inside `precision`."""

    def __init__(self, torch: Any):
        self._torch = torch
        self.versions = {"torch": torch.__version__, "cudnn": str(torch.backends.cudnn.version())}

    @contextmanager
    def precision(self, dtype: str) -> Iterator[None]:
        """Allow tf32 only where `dtype` is tf32: PyTorch's convolutions use it for float32 by default."""
        cudnn, matmul = self._torch.backends.cudnn, self._torch.backends.cuda.matmul
        before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark
        cudnn.allow_tf32 = matmul.allow_tf32 = dtype == "tf32"
        cudnn.benchmark = True
        try:
            with self._torch.inference_mode():
                yield
        finally:
            cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark = before
            self._torch.cuda.empty_cache()

    def logits(self, name: str, dtype: str, x: Array) -> Array:
        """(N, classes) float32, of (N, 3, H, W) float32."""
        with self.precision(dtype):
            found: Array = self._module(name, dtype)(self._images(x, dtype)).float().cpu().numpy()
            return found

    def eager(self, name: str, dtype: str, x: Array) -> Racer:
        """One CUDA graph of eager calls."""
        module, images = self._module(name, dtype), self._images(x, dtype)
        return self._racer("torch eager", self._graphed(lambda: module(images)))

    def compiled(self, name: str, dtype: str, x: Array) -> Racer:
        """torch.compile(mode="max-autotune"), which creates its own CUDA graphs. Compiling takes minutes.

        As users call it: each call copies the images to where its graph reads them, and goes through Python.
        """
        module = self._torch.compile(self._module(name, dtype), mode="max-autotune", dynamic=False)
        images = self._images(x, dtype)
        for _ in range(WARM_UP_CALLS):
            module(images)
        return self._racer("torch compile", lambda: module(images))

    def product(self, rows: int, depth: int, columns: int, dtype: str) -> Racer:
        """torch.matmul: (rows, depth) by (depth, columns)."""
        torch, number = self._torch, self._dtype(dtype)
        a, b = (torch.randn(shape, device="cuda", dtype=number) for shape in ((rows, depth), (depth, columns)))
        c = torch.empty((rows, columns), device="cuda", dtype=number)
        return self._racer("torch.matmul", lambda: torch.matmul(a, b, out=c))

    def copy(self, size_bytes: int) -> Racer:
        """copy_ of `size_bytes` bytes within the GPU."""
        source = self._torch.zeros(size_bytes // 4, device="cuda")
        target = self._torch.empty_like(source)
        return self._racer("torch copy_", lambda: target.copy_(source))

    def _dtype(self, dtype: str) -> Any:
        return self._torch.float32 if dtype == "tf32" else getattr(self._torch, dtype)

    def _module(self, name: str, dtype: str) -> Any:
        module = torch_graph.build(subjects.network(name)).cuda()
        return module.to(self._dtype(dtype), memory_format=self._torch.channels_last)

    def _images(self, x: Array, dtype: str) -> Any:
        images = self._torch.from_numpy(x).cuda().to(self._dtype(dtype))
        return images.contiguous(memory_format=self._torch.channels_last)

    def _graphed(self, call: Callable[[], Any]) -> Callable[[], None]:
        """The call as one CUDA graph, warmed up on a separate stream as torch.cuda.graph requires."""
        cuda = self._torch.cuda
        stream = cuda.Stream()
        stream.wait_stream(cuda.current_stream())
        with cuda.stream(stream):
            for _ in range(WARM_UP_CALLS):
                call()
        cuda.current_stream().wait_stream(stream)
        graph = cuda.CUDAGraph()
        with cuda.graph(graph):
            call()
        return functools.partial(_replay, graph, call)

    def _racer(self, name: str, call: Callable[[], Any]) -> Racer:
        """Timed by CUDA's events on torch's stream."""

        def time_ms(repeats: int) -> float:
            start, stop = (self._torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            for _ in range(repeats):
                call()
            stop.record()
            stop.synchronize()
            return float(start.elapsed_time(stop)) / repeats

        return Racer(name, time_ms)


def _replay(graph: Any, call: Callable[[], Any]) -> None:
    """Replay the graph of `call`, which holds the weights and images that the graph reads and does not keep itself."""
    graph.replay()
