"""The body of a request: bounded in size, in time, in what it inflates to, and together with all other bodies.

A client that sends a byte now and then has a place among the requests in progress for as long as a body may take. Where
all places are taken, such a body gives its own to a new request.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request

from npresnet.serve.refusals import CLOSE, GONE, RefusedError, busy
from npresnet.serve.service import Service

LINGER_S = 1.0  # how long the rest of a refused body is read, so that the client sees why before its connection breaks
SLOW_S, SLOW_RATE = 5.0, 1024  # a body that has come for longer than that, at fewer bytes per second
ENCODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # Content-Encoding -> zlib's window bits


@asynccontextmanager
async def received(request: Request, service: Service) -> AsyncIterator[bytes]:
    """The body, inflated, while it is in use. Raises RefusedError: 408, 413, 415, 400, 503."""
    held = Held(service)
    try:
        yield await _read(request, service, held)
    finally:
        held.release()


class Held:
    """Counts one body's bytes among all that are in memory.

    arriving  what collects them, while they come
    is_cut    it was given up for another request
    """

    def __init__(self, service: Service):
        self._service, self._size = service, 0
        self.arriving: asyncio.Task[bytes] | None = None
        self._since_s, self.is_cut = 0.0, False

    async def collect(self, request: Request) -> bytes:
        """The body as it was sent. Raises RefusedError, TimeoutError, CancelledError where it is cut."""
        settings = self._service.settings
        self._since_s = asyncio.get_running_loop().time()
        self.arriving = asyncio.ensure_future(_collected(request, settings.max_body, self))
        self._service.arriving.add(self)
        try:
            return await asyncio.wait_for(self.arriving, settings.body_timeout_s)
        finally:
            self._service.arriving.discard(self)

    def rate(self, now_s: float) -> float:
        """Bytes per second; infinity for the first seconds."""
        passed_s = now_s - self._since_s
        return self._size / passed_s if passed_s > SLOW_S else float("inf")

    def cut(self) -> bool:
        """Give it up. False where it has just come to its end."""
        assert self.arriving is not None
        self._service.arriving.discard(self)
        self.is_cut = self.arriving.cancel()
        return self.is_cut

    def add(self, size: int) -> None:
        """Raise RefusedError where all bodies together are too large."""
        self._size += size
        self._service.held += size
        if self._service.held > self._service.settings.max_held:
            limit = self._service.settings.max_held
            raise busy(
                f"the requests in progress hold {limit} bytes, all that this server takes at once; try again, send "
                "smaller pictures, or let it take more by --max-body-mb",
                self._service.retry_after_s(),
            )

    def release(self) -> None:
        """Its bytes are let go."""
        self._service.held -= self._size
        self._size = 0


async def _read(request: Request, service: Service, held: Held) -> bytes:
    settings = service.settings
    try:
        encoding = _encoding(request)
        _check_length(request, settings.max_body)
        body = await held.collect(request)
    except asyncio.TimeoutError:
        raise _too_slow(
            f"took longer than {settings.body_timeout_s:g} s; send it faster, or allow more by --body-timeout-s"
        ) from None
    except asyncio.CancelledError:
        if not held.is_cut:
            raise
        raise _too_slow(
            f"came at fewer than {SLOW_RATE} bytes per second, and another request needed its place; send it faster"
        ) from None
    except ClientDisconnect:
        raise RefusedError(GONE, "the client has gone") from None
    except RefusedError as refusal:
        refusal.headers.update(CLOSE)
        await linger(request)
        raise
    if encoding is None:
        return body
    inflated = await service.in_pool(inflate, body, encoding, settings.max_body)
    held.add(len(inflated))
    return inflated


def _too_slow(why: str) -> RefusedError:
    return RefusedError(408, f"the request's body {why}", CLOSE)


def cut_slowest(service: Service) -> bool:
    """Give up the slowest body, for a new request where all places are taken. False where none is slow."""
    now_s = asyncio.get_running_loop().time()
    slowest = min(service.arriving, key=lambda held: held.rate(now_s), default=None)
    return slowest is not None and slowest.rate(now_s) < SLOW_RATE and slowest.cut()


def _encoding(request: Request) -> int | None:
    name = request.headers.get("content-encoding", "identity").strip().lower()
    if name in ("", "identity"):
        return None
    if name not in ENCODINGS:
        raise RefusedError(415, f"Content-Encoding {name!r:.60} is not supported; send gzip, deflate or none")
    return ENCODINGS[name]


def _check_length(request: Request, most: int) -> None:
    """Content-Length, where it is given, before anything is read."""
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > most):
        raise too_large(most)


async def _collected(request: Request, most: int, held: Held) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise too_large(most)
        held.add(len(part))
        parts.append(part)
    return b"".join(parts)


async def linger(request: Request) -> None:
    """Before a connection is closed: read and forget what still comes, for a moment, so that the client sees why.

    Not where the client asks first whether it may send at all.
    """
    if "expect" in request.headers:
        return

    async def forget() -> None:
        while True:
            message = await request.receive()
            if message["type"] != "http.request" or not message.get("more_body"):
                return

    try:
        await asyncio.wait_for(forget(), LINGER_S)
    except asyncio.TimeoutError:
        return


def too_large(most: int) -> RefusedError:
    """413."""
    return RefusedError(
        413, f"the request's body has more than {most} bytes; send less at once, or allow more by --max-body-mb"
    )


def inflate(body: bytes, window_bits: int, most: int) -> bytes:
    """A body of Content-Encoding gzip or deflate. Raises RefusedError: 413 beyond `most` bytes, 400 if damaged."""
    stream = zlib.decompressobj(window_bits)
    try:
        made = stream.decompress(body, most + 1)
    except zlib.error as error:
        raise RefusedError(400, f"the body is not what its Content-Encoding says: {error}") from None
    if len(made) > most:
        raise too_large(most)
    if not stream.eof:
        raise RefusedError(400, "the compressed body is truncated")
    if stream.unused_data:
        raise RefusedError(400, "more follows the end of the compressed body; compress all of it at once")
    return made
