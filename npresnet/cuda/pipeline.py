"""Pipeline: pixels in, results out, with decoding, upload, computing and download of consecutive batches at once.

    pending = pipeline.submit(pictures, top=5)    # at once, where fewer than two batches are on their way
    ...                                           # decode the next pictures, submit them
    outcome = pending.result()                    # waits until this batch is through

Three streams, each in the order in which batches are submitted, and events between them:

    upload    slot -> station                                     after the last batch's pixels have left the station
    compute   station -> arena, graph, arena -> station, softmax  after this batch's upload, the last one's download
    download  station -> slot                                     after this batch's computing

The graph reads images at one address, and its arena is used again from its first step on. So pixels wait in a station
of their own until the last graph has ended, and are then moved within the GPU: as many bytes as an upload, at the speed
of the GPU's memory.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import Any

from npresnet.cuda.compiler.reduction import segmentations
from npresnet.cuda.elements import Element
from npresnet.cuda.launchers import softmax_top_k
from npresnet.cuda.pending import Pending, Wanted
from npresnet.cuda.pixels import Normalisation
from npresnet.cuda.runtime.failures import host_memory_errors
from npresnet.cuda.runtime.gpu import Call, Gpu
from npresnet.cuda.runtime.programs import Captured, Programs
from npresnet.cuda.runtime.staging import Slot, Station
from npresnet.cuda.runtime.weights import Weights
from npresnet.errors import DeviceError, NpresnetError
from npresnet.network import Array, Network


class Pipeline:
    """A network with one output on a GPU, which takes pixels. Safe with threads, whose batches take turns.

    Errors arrive at the `Pending` of their batch, those of memory that is too small as well: smaller batches still run.
    """

    def __init__(self, network: Network, gpu: Gpu, element: Element, weights: Weights, pixels: Normalisation):
        """Raises ArchitectureError for an operation or activation that this backend does not have."""
        ways = segmentations(network)
        (self._asked,) = network.outputs
        self._gpu = gpu
        self._upload, self._compute, self._download = streams = [gpu.stream() for _ in range(3)]
        self._taken = gpu.event()  # the pixels, out of the station
        self._programs: Programs | None = Programs(ways, gpu, element, weights, self._compute, pixels)
        self._station = Station(gpu)
        self._slots = [Slot(gpu), Slot(gpu)]
        self._settle_streams = partial(_settle, gpu, streams)
        self._pending = [self._new_pending(), self._new_pending()]  # of each slot the last one
        self._turn = 0
        self._lock = threading.Lock()
        # CuPy would give the memory to others while the GPU still writes to it
        self._end = weakref.finalize(self, _settle, gpu, streams, self._programs, self._station, self._slots)
        self._end.atexit = False

    def submit(self, pictures: Sequence[Array], top: int | None = None) -> Pending:
        """Put one batch on its way; waits for the last but one if that has not come back.

        pictures  N arrays (H, W, C) uint8 of one shape, or one array (N, H, W, C); they are copied
        top       how many best classes to find, at most as many as there are; None: no softmax either
        """
        pending = self._new_pending()
        with self._lock:
            try:
                with host_memory_errors():
                    self._put(pending, pictures, top)
            except NpresnetError as error:
                self._settle_streams()
                pending.failed(error)
            except BaseException:
                self._settle_streams()  # before the slot is used again
                raise
        return pending

    def close(self) -> None:
        """Release graphs and memory once the batches on their way are through. Later ones get a DeviceError."""
        with self._lock:
            self._drain()
            self._programs, self._station = None, Station(self._gpu)
            self._end()

    def _put(self, pending: Pending, pictures: Sequence[Array], top: int | None) -> None:
        captured, wanted = self._prepared(pictures, top)
        turn = self._turn
        slot, last = self._slots[turn], self._slots[1 - turn]
        self._pending[turn].settle()
        pixels, results = self._station.reserve(wanted.pixels_bytes, wanted.results_bytes, wanted.images)
        slot.reserve(wanted.pixels_bytes, wanted.results_bytes)
        staged = slot.pixels[: wanted.pixels_bytes].reshape(wanted.images, -1)
        for row, picture in zip(staged, pictures, strict=True):
            row.reshape(picture.shape)[...] = picture
        start = perf_counter()
        ranking = self._ranking(wanted, results)  # whose kernel may have to be compiled as well
        wanted = wanted._replace(preparing_ms=wanted.preparing_ms + (perf_counter() - start) * 1e3)
        with self._gpu.active():
            self._put_upload(slot, staged, pixels)
            self._put_work(slot, last, captured, wanted, (pixels, results), ranking)
            self._put_download(slot, slot.results[: wanted.results_bytes], results)
        pending.submitted(slot, wanted)
        self._pending[turn], self._turn = pending, 1 - turn

    def _prepared(self, pictures: Sequence[Array], top: int | None) -> tuple[Captured, Wanted]:
        """The program for this batch. All others are through before memory is given back, or more is taken."""
        if self._programs is None:
            raise DeviceError("this model has been closed; load it again to use it")
        height, width, channels = pictures[0].shape
        key = (channels, height, width), len(pictures)
        if not self._programs.has(*key):
            self._drain()
        start = perf_counter()
        captured = self._programs.get(*key)
        preparing_ms = (perf_counter() - start) * 1e3
        shape = captured.program.result_shapes[self._asked]
        if top is not None:
            top = min(top, shape[-1])
        wanted = Wanted(len(pictures), captured.program.layout.images_bytes, shape, top, preparing_ms)
        if not self._station.has_room(wanted.pixels_bytes, wanted.results_bytes):
            self._drain()
        return captured, wanted

    def _ranking(self, wanted: Wanted, results: int) -> list[Call]:
        """Softmax and the best classes of the logits at `results`, put behind them."""
        if wanted.top is None:
            return []
        classes, size_bytes = wanted.shape[-1], wanted.values_bytes
        places = {"logits": results, "probabilities": results + size_bytes, "best": results + 2 * size_bytes}
        return self._gpu.bind(softmax_top_k.launches(wanted.images, classes, wanted.top, **places))

    def _put_upload(self, slot: Slot, staged: Array, pixels: int) -> None:
        start, stop = slot.upload
        self._upload.wait_event(self._taken)
        start.record(self._upload)
        self._gpu.upload(pixels, staged, self._upload)
        stop.record(self._upload)

    def _put_work(
        self,
        slot: Slot,
        last: Slot,
        captured: Captured,
        wanted: Wanted,
        station: tuple[int, int],
        ranking: Sequence[Call],
    ) -> None:
        """`station`: the addresses of pixels and results."""
        (start, stop), stream, (pixels, results) = slot.work, self._compute, station
        stream.wait_event(slot.upload[1])
        start.record(stream)
        self._gpu.copy(captured.images_address, pixels, wanted.pixels_bytes, stream)
        self._taken.record(stream)
        captured.graph.launch(stream)
        stream.wait_event(last.download[1])
        self._gpu.copy(results, captured.result_address(self._asked), wanted.values_bytes, stream)
        self._gpu.run(ranking, stream)
        stop.record(stream)

    def _put_download(self, slot: Slot, arrived: Array, results: int) -> None:
        start, stop = slot.download
        self._download.wait_event(slot.work[1])
        start.record(self._download)
        self._gpu.download(arrived, results, self._download)
        stop.record(self._download)

    def _drain(self) -> None:
        """Until no batch is on its way; each keeps what came of it."""
        for pending in self._pending:
            pending.settle()

    def _new_pending(self) -> Pending:
        return Pending(self._gpu, self._settle_streams)


def _settle(gpu: Gpu, streams: list[Any], *_memory: Any) -> None:
    """Until nothing writes any more; so long `_memory` is held."""
    for stream in reversed(streams):
        gpu.settle(stream)
