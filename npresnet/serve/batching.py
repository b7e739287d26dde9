"""Batches: images that are in flight together are computed together, in one thread, and each gets its own result.

An image waits at most `wait_s` for others; while a batch is being computed the next one collects. A batch holds images
of one shape, those of the oldest image, at most `max_batch`. Whoever no longer waits (a client that has gone) is left
out. Where a batch fails, its images are computed one by one, so that an error is that of the image which caused it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Run = Callable[[Array], Array]  # (n, C, H, W) float32 -> (n, ...)
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Waiting:
    """One image x (1, C, H, W) float32, who waits for its result, and since when by the event loop's clock."""

    x: Array
    result: asyncio.Future[Array]
    since_s: float


class Batcher:
    """Used from one event loop; `run` is called in one thread of its own.

    observe  is called with each batch's number of images and the seconds that it took
    """

    def __init__(self, run: Run, *, max_batch: int, wait_s: float, observe: Callable[[int, float], object]):
        self._run, self._max_batch, self._wait_s, self._observe = run, max_batch, wait_s, observe
        self._waiting: deque[Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, "npresnet-compute")
        self._came: asyncio.Event | None = None
        self._work: asyncio.Task[None] | None = None

    async def result(self, x: Array) -> Array:
        """The row that `run` gives for x (1, C, H, W). Raises what `run` raises for x alone."""
        loop = asyncio.get_running_loop()
        item = Waiting(x, loop.create_future(), loop.time())
        self._waiting.append(item)
        self._wake()
        return await item.result

    async def call(self, function: Callable[[], Result]) -> Result:
        """The result of a function that is called in the same thread, between batches."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def close(self) -> None:
        """Stop; the batch that is being computed completes."""
        if self._work is not None:
            self._work.cancel()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _wake(self) -> None:
        if self._came is None or self._work is None or self._work.done():
            self._came = asyncio.Event()
            self._work = asyncio.get_running_loop().create_task(self._compute(self._came))
        self._came.set()

    async def _compute(self, came: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._until_due(came)
            batch, began_s = self._taken(), loop.time()
            outcomes = await loop.run_in_executor(self._thread, self._outcomes, [item.x for item in batch])
            self._observe(len(batch), loop.time() - began_s)
            for item, outcome in zip(batch, outcomes, strict=True):
                if item.result.done():  # cancelled meanwhile
                    continue
                if isinstance(outcome, Exception):
                    item.result.set_exception(outcome)
                else:
                    item.result.set_result(outcome)

    async def _until_due(self, came: asyncio.Event) -> None:
        """Return when a batch is full, or its oldest image has waited long enough."""
        loop = asyncio.get_running_loop()
        while True:
            came.clear()
            mates = self._mates()
            if not mates:
                await came.wait()
                continue
            left_s = mates[0].since_s + self._wait_s - loop.time()
            if left_s <= 0 or len(mates) >= self._max_batch:
                return
            try:
                await asyncio.wait_for(came.wait(), left_s)
            except asyncio.TimeoutError:
                continue  # somebody may have gone meanwhile

    def _mates(self) -> list[Waiting]:
        """The images that go together with the oldest, at most a batch. Those that nobody waits for are dropped."""
        if any(item.result.done() for item in self._waiting):
            self._waiting = deque(item for item in self._waiting if not item.result.done())
        shape = self._waiting[0].x.shape if self._waiting else ()
        return [item for item in self._waiting if item.x.shape == shape][: self._max_batch]

    def _taken(self) -> list[Waiting]:
        batch = self._mates()
        taken = set(map(id, batch))
        self._waiting = deque(item for item in self._waiting if id(item) not in taken)
        return batch

    def _outcomes(self, xs: list[Array]) -> list[Array | Exception]:
        """In the thread: a row or an exception for each x."""
        try:
            return list(self._run(xs[0] if len(xs) == 1 else np.concatenate(xs)))
        except Exception as error:
            if len(xs) == 1:
                return [error]
            return [outcome for x in xs for outcome in self._outcomes([x])]
