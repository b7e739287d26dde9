"""A connection that is closed when its next request's headers do not come in time, or its answer is not read.

uvicorn bounds the size of headers, and how long an idle connection is kept after a request. A client that connects and
sends nothing, or a byte now and then, it would keep for ever; and one that reads nothing, with the answer.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_S = 15.0


class Connection(H11Protocol):
    """From its start, and from the end of each answer, HEADERS_S until the headers of the next request are there.

    An answer of which nothing more was read for as long is dropped.
    """

    _deadline: asyncio.TimerHandle | None = None
    _unsent = 0  # bytes of answers when the time began

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _watch(self) -> None:
        self._forget()
        self._unsent = self.transport.get_write_buffer_size()
        self._deadline = self.loop.call_later(HEADERS_S, self._close_if_idle)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close_if_idle(self) -> None:
        is_idle = self.cycle is None or self.cycle.response_complete
        unsent = self.transport.get_write_buffer_size()
        if is_idle and 0 < unsent < self._unsent:
            self._watch()
        elif is_idle and unsent:
            self.transport.abort()
        elif is_idle and not self.transport.is_closing():
            self.transport.close()
