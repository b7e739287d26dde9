"""Clients that read their answers slowly, or not at all."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import socket
import threading

import pytest
import uvicorn

import npresnet
from npresnet.serve import connections
from tests.serve.conftest import jpeg
from tests.support.served import served

LARGE = 30 * 2**20  # more than a socket takes that nobody reads


@pytest.mark.parametrize("pieces", [1, 480])
def test_an_answer_that_nobody_reads_is_dropped(monkeypatch, pieces):
    """And one that is read slowly is not; neither where the server has it all, nor where it waits with the rest."""
    monkeypatch.setattr(connections, "HEADERS_S", 0.3)

    async def large(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % LARGE)]})
        for left in reversed(range(pieces)):
            await send({"type": "http.response.body", "body": bytes(LARGE // pieces), "more_body": left > 0})

    async def scenario() -> int:
        config = uvicorn.Config(large, http=connections.Connection, log_level="error", port=0, lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server._serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        _, silent = await asyncio.open_connection("127.0.0.1", port)
        slow, writer = await asyncio.open_connection("127.0.0.1", port)
        for sender in (silent, writer):
            sender.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        count = 0
        while part := await slow.read(2**18):
            count += len(part)
            await asyncio.sleep(0.01)
        while server.server_state.connections:
            await asyncio.sleep(0.01)
        server.should_exit = True
        await serving
        silent.close()
        return count

    assert asyncio.run(asyncio.wait_for(scenario(), 30)) > LARGE


@pytest.mark.parametrize("reads", [True, False])
def test_drains_until_answers_are_read(tmp_path, reads):
    """An answer that was written and not yet read is a request in progress; one that is cut is told, with 1."""
    path, count = tmp_path / "many.npz", 60_000
    npresnet.build("cifar_resnet20", num_classes=count, seed=3, threads=1).save(path)
    images = {"images": [base64.b64encode(jpeg(1)).decode()] * 2}
    body, mark = json.dumps(images).encode(), b"HTTP/1.1 200 OK"
    with (
        served("--model", str(path), "--threads", "1", "--drain-s", "20" if reads else "0.3") as server,
        socket.socket() as client,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(30)
        host, port = server.address.split(":")
        client.connect((host, int(port)))
        head = f"POST /predict?top={count} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        client.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        assert client.recv(len(mark), socket.MSG_WAITALL) == mark
        assert b"npresnet_requests_in_progress 1.0" in server.ask("GET", "/metrics")[1]
        server.process.send_signal(signal.SIGTERM)
        threading.Event().wait(1.5)
        parts = []
        while reads and (part := client.recv(2**20)):
            parts.append(part)
        code, _, log = server.ended()
    if reads:
        assert b"".join(parts).endswith(b"}]}]")
    assert (code, "1 request cut" in log, "stopping: 1 request" in log) == (int(not reads), not reads, True)
