"""Memory that batches of pixels and their results pass through, on the host and on the GPU.

    Slot.pixels -> Station.pixels -> the arena's images        on the host, on the GPU
    the arena's results -> Station.results -> Slot.results     on the GPU, on the host

There are two slots and one station. While the graph works in the arena on one batch, the next one's pixels arrive in
the station, and those of the one after are put into the other slot.
"""

from __future__ import annotations

import numpy as np

from npresnet.cuda.runtime.gpu import Buffer, Gpu
from npresnet.network import Array


class Slot:
    """One batch's memory on the host, which the GPU reads and writes by itself, and the times on the batch's way.

    The events stand in pairs before and behind the upload, the work on the GPU, and the download.
    """

    def __init__(self, gpu: Gpu):
        self._gpu = gpu
        self.pixels: Array = np.empty(0, np.uint8)
        self.results: Array = np.empty(0, np.uint8)
        self.upload, self.work, self.download = ((gpu.event(), gpu.event()) for _ in range(3))

    def reserve(self, pixels_bytes: int, results_bytes: int) -> None:
        """Make room; nothing may be on its way."""
        if self.pixels.size < pixels_bytes:
            self.pixels = self._gpu.host_memory(pixels_bytes)
        if self.results.size < results_bytes:
            self.results = self._gpu.host_memory(results_bytes)

    def times_ms(self) -> tuple[float, float, float]:
        """Of upload, work and download, once the batch is through."""
        pairs = self.upload, self.work, self.download
        upload, work, download = (self._gpu.elapsed_ms(start, stop) for start, stop in pairs)
        return upload, work, download


class Station:
    """The GPU's side: addresses of a batch's pixels before, and of its results after the arena."""

    def __init__(self, gpu: Gpu):
        self._gpu = gpu
        self._pixels: Buffer | None = None
        self._results: Buffer | None = None

    def has_room(self, pixels_bytes: int, results_bytes: int) -> bool:
        """Whether `reserve` would change nothing."""
        wanted = ((self._pixels, pixels_bytes), (self._results, results_bytes))
        return all(buffer is not None and buffer.size_bytes >= size_bytes for buffer, size_bytes in wanted)

    def reserve(self, pixels_bytes: int, results_bytes: int, images: int) -> tuple[int, int]:
        """The addresses, after room was made; nothing may be on its way then. Raises DeviceError."""
        if self._pixels is None or self._pixels.size_bytes < pixels_bytes:
            self._pixels = None  # first: there may not be room for both
            self._pixels = self._gpu.allocate(pixels_bytes, f"beside the network, the pixels of {images} images: this")
        if self._results is None or self._results.size_bytes < results_bytes:
            self._results = None
            self._results = self._gpu.allocate(results_bytes, f"beside the network, results of {images} images: this")
        return self._pixels.address, self._results.address
