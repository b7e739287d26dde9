"""A batch of images to where the graph reads it: (N, C, H, W) float32, contiguous, on the GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from npresnet.cuda.launchers import gather
from npresnet.cuda.runtime.gpu import Gpu
from npresnet.errors import ShapeError
from npresnet.network import Array


class Images:
    """Copies images to the GPU. A batch must have arrived before the next is brought: they share the host's memory."""

    def __init__(self, gpu: Gpu):
        self._gpu = gpu
        self._host: Array = np.empty(0, np.uint8)

    def bring(self, images: Any, address: int, stream: Any) -> None:
        """Put the copy of `images`, NumPy's or CuPy's, to `address` on the stream."""
        if isinstance(images, np.ndarray):
            self._from_host(images, address, stream)
        else:
            self._from_gpu(images, address, stream)

    def _from_host(self, images: Array, address: int, stream: Any) -> None:
        """Cast and brought into order on the way to memory that the GPU reads by itself."""
        size_bytes = 4 * images.size
        if self._host.size < size_bytes:
            self._host = self._gpu.host_memory(size_bytes)
        staged = self._host[:size_bytes].view(np.float32).reshape(images.shape)
        with np.errstate(all="ignore"):  # a float64 pixel beyond float32 becomes infinity
            np.copyto(staged, images, casting="same_kind")
        self._gpu.upload(address, staged, stream)

    def _from_gpu(self, images: Any, address: int, stream: Any) -> None:
        self._gpu.wait_for_caller(stream)
        if images.dtype == np.float32 and images.flags.c_contiguous:
            self._gpu.copy(address, images.data.ptr, images.nbytes, stream)
            return
        if images.dtype.name not in gather.DTYPES:
            raise ShapeError(f"images on the GPU are float32, float64 or float16, got {images.dtype}")
        strides = gather.launches(images.shape, images.strides, images.dtype, x=images.data.ptr, y=address)
        self._gpu.run(self._gpu.bind(strides), stream)
