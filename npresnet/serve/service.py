"""Service: one model in use. It decodes in a small pool, computes in one thread, and knows who is inside."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from npresnet.images.presets import Preprocess, preset
from npresnet.model.decisions import input_size
from npresnet.model.model import Model
from npresnet.model.prediction import Prediction
from npresnet.serve.batching import Batcher
from npresnet.serve.metrics import Metrics
from npresnet.serve.refusals import RefusedError, busy
from npresnet.serve.room import Room
from npresnet.serve.settings import Settings

Array = NDArray[Any]
Result = TypeVar("Result")
MOST_DECODERS = 4
LEAST_ROOM = 64 * 2**20  # bytes of what is decoded and not yet computed
LONGEST_RETRY_S = 60


class Service:
    """A model, its settings and its metrics.

    inside    images that were let in and have no result yet
    held      bytes of the requests' bodies and of answers on their way, in memory
    working   requests in progress
    arriving  the bodies of those that are still being sent, as `bodies` holds them
    draining  the server is about to stop: it answers those, and lets no more in
    ready     the network was compiled
    width     of the network's output, known then
    how       the preprocessing of pictures
    pictures  room for those that are in memory as a whole, for maps over them
    """

    def __init__(self, model: Model, name: str, settings: Settings):
        self.model, self.name, self.settings, self.metrics = model, name, settings, Metrics(name)
        self.inside = self.held = self.working = 0
        self.arriving: set[Any] = set()
        self.draining = self.ready = False
        self.width = -1
        self.labels: list[str] | None = model.labels
        self.scores: str = model.config.value("scores", "softmax")
        self.how = preprocess_of(model)
        self.fixed_shape = fixed_shape(model, self.how)
        decoders = min(MOST_DECODERS, os.cpu_count() or 1)
        self._decoders = ThreadPoolExecutor(decoders, "npresnet-decode")
        self._batcher = Batcher(
            model,
            max_batch=settings.max_batch,
            wait_s=settings.batch_wait_ms / 1e3,
            observe=self._computed,
        )
        image = 4 * math.prod(input_size(model.config, self.how))  # bytes; a picture of its own size may have more
        self._prepared = Room(max(LEAST_ROOM, 2 * settings.max_batch * image), 2 * decoders)
        self.pictures = Room(LEAST_ROOM, decoders)
        self._rate = 0.0  # images per second, of the last batches

    def warm(self) -> None:
        """Compile the network for one image and for several, so that the first client does not wait for that."""
        shape = self.fixed_shape
        if -1 in shape:
            shape = input_size(self.model.config, self.how)
        for images in (1, min(self.settings.max_batch, 2 * self.model.config["threads"].value)):
            self.width = self.model(np.zeros((images, *shape), np.float32)).shape[1]
        self.ready = True

    async def start(self) -> None:
        """`warm`, unless that was done."""
        if not self.ready:
            await self._batcher.call(self.warm)

    def close(self) -> None:
        """Stop the threads; the model stays open."""
        self._batcher.close()
        self._decoders.shutdown(wait=True, cancel_futures=True)

    @contextmanager
    def admitted(self, images: int) -> Iterator[None]:
        """While a request's images are inside. Raises RefusedError: 422 for too many images, 503 for a full queue."""
        settings = self.settings
        if images > settings.max_images:
            raise RefusedError(
                422,
                f"a request may have {settings.max_images} images, this one has {images}; send several requests, or "
                "allow more by --max-images",
            )
        if self.inside + images > settings.max_queue:
            raise busy(
                f"the queue is full: {self.inside} images are waiting, and at most {settings.max_queue} may; try "
                "again later, or allow more by --max-queue",
                self.retry_after_s(),
            )
        self.inside += images
        self.metrics.queue.set(self.inside)
        try:
            yield
        finally:
            self.inside -= images
            self.metrics.queue.set(self.inside)

    async def in_pool(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """The result of a function that is called in a thread of the pool that decodes."""
        return await asyncio.get_running_loop().run_in_executor(self._decoders, function, *arguments)

    async def in_turn(self, function: Callable[[], Result]) -> Result:
        """The result of a function that is called in the computing thread, between two batches."""
        return await self._batcher.call(function)

    async def output(self, image: bytes | Array) -> Array:
        """The network's output for one image: logits (num_classes,), or the embedding (D,).

        image  an encoded picture, or preprocessed (1, C, H, W) float32

        Raises ImageError, ShapeError.
        """
        try:
            output = await self._output(image)
        except Exception:
            self.metrics.images.labels("failed").inc()
            raise
        self.metrics.images.labels("answered").inc()
        return output

    async def _output(self, image: bytes | Array) -> Array:
        if not isinstance(image, bytes):
            return await self._batcher.result(image)
        make = partial(self.in_pool, self.model.preprocess, image)
        async with self._prepared.holding(make, lambda x: int(x.nbytes)) as x:
            return await self._batcher.result(x)

    def prediction(self, logits: Array, top: int) -> Prediction:
        """Of one image's logits (num_classes,)."""
        return Prediction(logits, self.labels, top, scores=self.scores)

    def retry_after_s(self) -> int:
        """Seconds until the images that are inside will have been computed, by the rate of the last batches."""
        return max(1, min(LONGEST_RETRY_S, math.ceil(self.inside / self._rate))) if self._rate else 1

    def _computed(self, images: int, seconds: float) -> None:
        rate = images / max(seconds, 1e-6)
        self._rate = 0.8 * self._rate + 0.2 * rate if self._rate else rate
        self.metrics.batches.observe(images)


def preprocess_of(model: Model) -> Preprocess | None:
    """How the model prepares pictures; None where nobody knows, see `Model.preprocess`."""
    how = model.config.value("preprocess")
    return None if how is None else preset(how)


def fixed_shape(model: Model, how: Preprocess | None) -> tuple[int, ...]:
    """(C, H, W) of every preprocessed image; -1 for sides that are each picture's own."""
    channels, height, width = input_size(model.config, how)
    if how is not None and how.crop is None and isinstance(how.resize, tuple):
        return channels, *how.resize
    return (channels, -1, -1) if how is None or how.crop is None else (channels, height, width)
