"""An answer on its way: in pieces, so that its request is in progress until its client has taken it."""

from __future__ import annotations

from starlette.types import Message, Send

from npresnet.serve.refusals import NO_SNIFFING
from npresnet.serve.service import Service

PIECE = 2**16  # bytes


class Answer:
    """An ASGI `send` between an application and its server.

    A server takes a body of any size at once, and keeps what its client does not read; with the next piece it waits.
    So the answers that nobody reads are requests in progress, which are limited in number, and what is left of them
    counts among the bytes that the server holds.

    code  the status that was sent; 500 where none was
    """

    def __init__(self, send: Send, service: Service):
        self._send, self._service, self.code = send, service, 500

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self.code = message["status"]
            message["headers"] = [*message.get("headers", ()), NO_SNIFFING]
        if message["type"] == "http.response.body" and len(message.get("body", b"")) > PIECE:
            await self._send_large(message["body"], message)
        else:
            await self._send(message)

    async def _send_large(self, body: bytes, message: Message) -> None:
        left = len(body)
        self._service.held += left
        try:
            for at in range(0, len(body), PIECE):
                piece = body[at : at + PIECE]
                more = at + PIECE < len(body) or message.get("more_body", False)
                await self._send({**message, "body": piece, "more_body": more})
                left -= len(piece)
                self._service.held -= len(piece)
        finally:
            self._service.held -= left
