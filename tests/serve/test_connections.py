"""Connections: how many, how long, and what is told to those who speak no HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import count

import pytest
import uvicorn

from npresnet.serve import app, connections
from tests.serve.conftest import jpeg
from tests.serve.test_limits import until
from tests.serve.test_run import answered
from tests.support.checkout import REPOSITORY

ASK = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def told(answer: bytes) -> tuple[int, dict[str, str], str]:
    """Status, headers and error of one answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert headers["content-type"] == "application/json"
    assert (headers["connection"], headers["x-content-type-options"]) == ("close", "nosniff")
    found = json.loads(body)
    assert found.keys() == {"error"}
    return int(first.split()[1]), headers, found["error"]


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        (b"\x16\x03\x01\x02\r\n\r\n", 400, "cannot be read"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "Host"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 2**20, 431, "16 KiB"),
        (b"GET /" + b"x" * 2**20, 431, "16 KiB"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n<script>: 1\r\n\r\n", 400, "illegal header"),
        (POST + b"Content-Length: -1\r\n\r\n", 400, "Content-Length"),
        (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "Content-Length"),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "Transfer-Encoding"),
        (CHUNKED + b"3\r\nabc\r\nzz\r\n", 400, "chunk"),
        (CHUNKED + b"1\r\na\r\n" * 3000, 400, "fewer than 16 bytes"),
    ],
    ids=map(str, count()),
)
def test_what_is_no_http(server, text, status, words):
    """Told as JSON, and to its end although the client has sent more than was read."""
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as sender:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sender.sendall(text)
        found = told(answered(sender))
    assert (found[0], words in found[2]) == (status, True), found
    assert server.ask("GET", "/healthz")[0] == 200


def test_small_chunks(server):
    """A few are taken, and many if they are larger."""
    for size, chunks in ((1, 900), (20, 5000)):
        host, port = server.address.split(":")
        with socket.create_connection((host, int(port)), timeout=30) as sender:
            sender.sendall(CHUNKED + (b"%x\r\n%s\r\n" % (size, b"x" * size)) * chunks + b"0\r\n\r\n")
            found = answered(sender)
        assert found.startswith(b"HTTP/1.1 422 ")
        assert b"in %d bytes" % (size * chunks) in found


def test_connections_are_counted(server):
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=30):
        until(lambda: b"npresnet_connections 2.0" in server.ask("GET", "/metrics")[1])
    until(lambda: b"npresnet_connections 1.0" in server.ask("GET", "/metrics")[1])


def test_what_is_no_http_after_a_request(server):
    """Behind an answer, within a body that nobody reads, and within one that is being read: no traceback."""
    lines = len(server.log)
    chunked = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    for begin, end, answers in (
        (ASK, b"\0\0\r\n\r\n", 2),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + chunked, b"zz\r\n", 1),
        (POST + b"Content-Encoding: br\r\n" + chunked, b"zz\r\n", 1),
    ):
        host, port = server.address.split(":")
        with socket.create_connection((host, int(port)), timeout=30) as sender:
            sender.sendall(begin)
            time.sleep(0.1)
            sender.sendall(end)
            assert answered(sender).count(b"HTTP/1.1 ") == answers
    assert server.ask("GET", "/healthz")[0] == 200
    assert server.log[lines:] == []


def among(model, scenario: Callable[[Callable[[], Awaitable[Streams]]], Awaitable[None]], most: int | None = None):
    """Run a scenario, which gets a function that connects, beside a server of at most as many connections."""

    async def run() -> None:
        config = uvicorn.Config(
            app(model), http=connections.Connection, log_level="error", port=0, limit_concurrency=most
        )
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server._serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        writers = []

        async def connect() -> Streams:
            streams = await asyncio.open_connection("127.0.0.1", port)
            writers.append(streams[1])
            return streams

        await scenario(connect)
        for writer in writers:
            writer.close()
        server.should_exit = True
        await serving

    asyncio.run(asyncio.wait_for(run(), 30))


def test_headers_that_do_not_come(model, monkeypatch):
    """A connection that sends nothing, or half of its headers, is closed."""
    monkeypatch.setattr(connections, "HEADERS_S", 0.3)

    async def scenario(connect) -> None:
        began = time.monotonic()
        silent, _ = await connect()
        slow, writer = await connect()
        writer.write(b"GET /healthz HTTP/1.1\r\nHost")
        assert (await silent.read(), await slow.read()) == (b"", b"")
        assert 0.25 < time.monotonic() - began < 10

    among(model, scenario)


async def asked(streams: Streams) -> bytes:
    streams[1].write(ASK)
    return await streams[0].readuntil(b'{"status":"ok"}')


def test_too_many_connections(model, monkeypatch):
    """Those that are new are kept; one more is told, with a body that it sends all the same; the next is closed."""
    monkeypatch.setattr(connections, "LINGERING", 1)

    async def scenario(connect) -> None:
        kept = [await connect() for _ in range(3)]
        for streams in kept:
            await asked(streams)
        refused, writer = await connect()
        writer.write(POST + b"Content-Length: %d\r\n\r\n" % 2**20 + bytes(2**20))
        status, headers, error = told(await refused.read())
        assert (status, headers["retry-after"], "3 connections are open" in error) == (503, "1", True)
        further, _ = await connect()
        with contextlib.suppress(ConnectionResetError):
            assert await further.read() == b""
        for streams in kept:
            await asked(streams)
        kept[1][1].close()
        writer.close()
        while True:  # until the server has seen that
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError):
                await asked(await connect())
                return
            await asyncio.sleep(0.05)

    among(model, scenario, most=3)


def test_idle_connections_give_their_place(model, monkeypatch):
    """The one that has waited the longest; never one whose request is in progress."""
    monkeypatch.setattr(connections, "IDLE_S", 0.2)
    image = jpeg(1)

    async def scenario(connect) -> None:
        busy, silent, asking = [await connect() for _ in range(3)]
        busy[1].write(POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(image) + image[:50])
        await asyncio.sleep(0.3)
        await asked(asking)
        await asked(await connect())
        assert await silent[0].read() == b""
        await asked(asking)
        busy[1].write(image[50:])
        assert (await busy[0].read()).startswith(b"HTTP/1.1 200 ")

    among(model, scenario, most=3)


def test_descriptors():
    """As many as connections are taken; where the system does not permit that, words."""
    pytest.importorskip("resource")
    program = """
import resource
from npresnet.serve.run import LINGERING, OTHER_DESCRIPTORS, allow_descriptors
for soft, hard in ((200, 400), (350, 400), (200, 200)):
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    allow_descriptors(300 - LINGERING - OTHER_DESCRIPTORS)
    print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["(300, 400)", "(350, 400)"]
    assert "ServeError: 172 connections need 300 open files, and this process may have 200" in done.stderr
