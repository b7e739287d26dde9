"""Room: how much of what was decoded may be in memory at once. A file of kilobytes becomes hundreds of megabytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

Made = TypeVar("Made")


class Room:
    """Used from one event loop.

    most    bytes that are in use together; something larger is let in when nothing else is
    makers  what may be made at once, which includes what was made and waits for its place; first come, first served
    """

    def __init__(self, most: int, makers: int):
        self._most, self._used = most, 0
        self._makers, self._turn, self._freed = asyncio.Semaphore(makers), asyncio.Lock(), asyncio.Event()

    @asynccontextmanager
    async def holding(self, make: Callable[[], Awaitable[Made]], size_of: Callable[[Made], int]) -> AsyncIterator[Made]:
        """What `make` gives, while it is in use; size_of tells its bytes."""
        async with self._makers:
            made = await make()
            size = size_of(made)
            async with self._turn:
                while self._used and self._used + size > self._most:
                    self._freed.clear()
                    await self._freed.wait()
                self._used += size
        try:
            yield made
        finally:
            self._used -= size
            self._freed.set()
