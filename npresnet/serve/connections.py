"""A connection: bounded in number and time, and what is wrong below a request is told as JSON too.

uvicorn bounds the size of headers, and how long an idle connection is kept after a request. It would keep a client that
connects and sends nothing, or a byte now and then, for ever; and one that reads nothing, with its answer.
"""

from __future__ import annotations

import asyncio
import sys
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from npresnet.serve.bodies import LINGER_S
from npresnet.serve.refusals import CLOSE, NO_SNIFFING, RefusedError, busy, error_response

HEADERS_S = 15.0
IDLE_S = 1.0  # a connection that waits for a request as long gives its place to a new one where all are taken
LINGERING = 64  # connections beyond the limit that are told so at once; further ones are closed without a word
TOO_LARGE = "the request's address and headers are larger than 16 KiB"
FEW_CHUNKS, LEAST_CHUNK = 1000, 16  # of a body beyond its first chunks, bytes on average
TOO_SMALL = f"its chunks are of fewer than {LEAST_CHUNK} bytes; send larger ones"


class Parser(h11.Connection):
    """h11's, which refuses bodies of very small chunks: a byte of such a body takes the event loop 10 microseconds."""

    _chunks = _size = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._size = 0
        elif isinstance(event, h11.Data):
            self._chunks, self._size = self._chunks + 1, self._size + len(event.data)
            if self._chunks > FEW_CHUNKS + self._size // LEAST_CHUNK:
                raise h11.RemoteProtocolError(TOO_SMALL)
        return event


class Connection(H11Protocol):
    """From its start, and from the end of each answer, HEADERS_S until the headers of the next request are there.

    An answer of which nothing more was read for as long is dropped. Where uvicorn's `limit_concurrency` connections are
    open, a new one takes the place of the one that has been idle the longest, or is answered 503.
    """

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self.conn = Parser(h11.SERVER)
        # uvicorn itself would refuse in plain text, when a request has come
        self._most, self.limit_concurrency = self.limit_concurrency, None
        self._deadline: asyncio.TimerHandle | None = None
        self._since_s, self._unsent = 0.0, 0  # when the time began, and the bytes of answers then
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()
        most, count = self._most, len(self.connections)
        if most is None or count <= most or self._takes_a_place():
            return
        if count <= most + LINGERING:
            words = f"{most} connections are open, as many as this server takes; try again later, or allow more by"
            self._refuse(busy(f"{words} --max-connections", 1))
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self._is_refused:
            super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Called while h11's exception is handled."""
        error = sys.exc_info()[1]
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        self._refuse(RefusedError(status, TOO_LARGE if status == 431 else f"the request cannot be read: {error}"))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self._is_idle():
            self._forget()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def shutdown(self) -> None:
        if self._is_refused:
            self.transport.abort()
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def is_unread(self) -> bool:
        """Whether an answer is complete, and its client has not yet taken all of it."""
        return self._is_idle() and self.transport.get_write_buffer_size() > 0

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _takes_a_place(self) -> bool:
        """Close the connection that has been idle the longest. False where none has been for IDLE_S."""
        others = [found for found in self.connections if isinstance(found, Connection) and found._can_go()]
        oldest = min(others, key=lambda found: found._since_s, default=self)
        if self.loop.time() - oldest._since_s < IDLE_S:
            return False
        oldest.transport.close()
        return True

    def _can_go(self) -> bool:
        is_leaving = self._is_refused or self.transport.is_closing()
        return self._is_idle() and not is_leaving and not self.transport.get_write_buffer_size()

    def _refuse(self, refusal: RefusedError) -> None:
        """Answer with an error and close.

        What the client still sends is read and forgotten for a moment: unread, it would break the connection before
        the client has read why. A request in progress is given up, as if its client had gone.
        """
        self._is_refused = True
        self._forget()
        if not self._is_idle():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        answer = error_response(refusal)
        extra = [*self.server_state.default_headers, NO_SNIFFING, *((k.encode(), v.encode()) for k, v in CLOSE.items())]
        head = h11.Response(
            status_code=refusal.status,
            headers=[*answer.raw_headers, *extra],
            reason=HTTPStatus(refusal.status).phrase.encode(),
        )
        try:
            parts = [self.conn.send(event) for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage())]
            self.transport.write(b"".join(part for part in parts if part))
            self.transport.write_eof()
        except h11.LocalProtocolError:  # another answer has begun
            self.transport.close()
        self._deadline = self.loop.call_later(LINGER_S, self.transport.abort)

    def _watch(self) -> None:
        self._forget()
        if self._is_refused:
            return
        self._since_s, self._unsent = self.loop.time(), self.transport.get_write_buffer_size()
        self._deadline = self.loop.call_later(HEADERS_S, self._on_deadline)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_deadline(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if 0 < unsent < self._unsent:
            self._watch()
        elif unsent:
            self.transport.abort()
        elif self._is_idle() and not self.transport.is_closing():
            self.transport.close()
