"""`npresnet serve` as a process: where it listens, what it says, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket

import pytest

from npresnet.cli import main
from npresnet.serve.refusals import ServeError
from npresnet.serve.run import bind
from tests.serve.conftest import jpeg
from tests.serve.test_limits import until
from tests.support.served import served


def test_says_where_it_listens(server):
    assert server.log[-1] == f"npresnet: listening on {server.url}, model small_net; Ctrl-C stops\n"
    host, port = server.address.split(":")
    assert (host, int(port) > 0) == ("127.0.0.1", True)


def begun(server, image: bytes, share: int = 2) -> socket.socket:
    """A connection that has sent a request's headers and a part of its body."""
    host, port = server.address.split(":")
    sender = socket.create_connection((host, int(port)), timeout=30)
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(image)}\r\n\r\n".encode()
    sender.sendall(head + image[: len(image) // share])
    return sender


def answered(sender: socket.socket) -> bytes:
    parts = []
    while part := sender.recv(2**16):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_drains(weights, stop):
    """A request in progress is answered after the signal; new ones are refused; readiness goes; exit code 0."""
    image = jpeg(1)
    with served("--model", weights, "--threads", "1", "--batch-wait-ms", "0") as server:
        assert server.ask("GET", "/v2/health/ready")[0] == 200
        sender = begun(server, image)
        until(lambda: b"npresnet_requests_in_progress 1.0" in server.ask("GET", "/metrics")[1])
        server.process.send_signal(stop)
        until(lambda: server.ask("GET", "/v2/health/ready")[0] == 503)
        assert server.ask("GET", "/v2/health/live")[0] == 200
        assert server.ask("GET", "/healthz") == (503, b'{"status":"draining"}')
        status, refused = server.ask("POST", "/predict", image)
        assert (status, b"stopping" in refused) == (503, True)
        assert server.process.poll() is None
        sender.sendall(image[len(image) // 2 :])
        with contextlib.closing(sender):
            assert answered(sender).startswith(b"HTTP/1.1 200 ")
        code, out, log = server.ended()
    assert (code, out) == (0, "")
    assert log.splitlines()[-2:] == [
        "npresnet: stopping: 1 request in progress; Ctrl-C again stops at once",
        "npresnet: stopped",
    ]


def test_clients_that_go_and_requests_that_do_not_end(weights):
    """A client that goes before its batch is due costs no computing; a request that takes too long is cut."""
    with served("--model", weights, "--threads", "1", "--drain-s", "0.2", "--batch-wait-ms", "60000") as server:
        gone = begun(server, jpeg(1), share=1)
        until(lambda: b"npresnet_queue_images 1.0" in server.ask("GET", "/metrics")[1])
        gone.close()
        until(lambda: b'npresnet_requests_total{code="499",route="predict"} 1.0' in server.ask("GET", "/metrics")[1])
        metrics = server.ask("GET", "/metrics")[1]
        assert b"npresnet_queue_images 0.0" in metrics
        assert b"npresnet_batch_images_count 0.0" in metrics
        sender = begun(server, jpeg(1))
        until(lambda: b"npresnet_requests_in_progress 1.0" in server.ask("GET", "/metrics")[1])
        server.process.send_signal(signal.SIGTERM)
        code, _, log = server.ended()
        sender.close()
    assert code == 1
    assert "npresnet: stopped; 1 request cut" in log
    assert "Traceback" not in log


def test_a_refused_body_is_explained_before_the_connection_ends(server):
    """The client sends more than is read, and still gets the answer."""
    status, body = server.ask("POST", "/predict", b"x" * (33 * 2**20))
    assert (status, b"--max-body-mb" in body) == (413, True)


@pytest.mark.parametrize("size", [100, 20 * 2**20])
def test_a_refusal_for_other_reasons_is_explained_too(weights, size):
    """Neither a busy server nor one that cannot read a body's encoding breaks the connection of who still sends."""
    with served("--model", weights, "--threads", "1", "--max-queue", "1", "--max-images", "1") as server:
        status, body = server.ask("POST", "/predict", b"x" * size, Content_Encoding="br")
        assert (status, b"gzip, deflate" in body) == (415, True)
        with contextlib.closing(begun(server, jpeg(1))):
            until(lambda: b"npresnet_requests_in_progress 1.0" in server.ask("GET", "/metrics")[1])
            status, body = server.ask("POST", "/predict", b"x" * size)
            assert (status, b"--max-queue" in body) == (503, True)


def test_endless_chunks(server):
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as sender:
        sender.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(33 * 16):
                sender.sendall(chunk)
        assert sender.recv(13) == b"HTTP/1.1 413 "
    assert server.ask("GET", "/healthz")[0] == 200


def test_a_body_of_two_lengths_hides_no_request(server):
    """By its chunks it ends before the second request, by its length after that."""
    hidden = b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n"
    head = f"Host: x\r\nContent-Length: {5 + len(hidden)}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    for line in (b"POST /predict HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\n"):
        host, port = server.address.split(":")
        with socket.create_connection((host, int(port)), timeout=30) as sender:
            sender.sendall(line + head + b"0\r\n\r\n" + hidden)
            found = answered(sender)
        assert found.startswith(b"HTTP/1.1 400 ")
        assert found.count(b"HTTP/1.1") == 1
        assert b'{"error":"the request has both' in found


def test_addresses_that_cannot_be_used(server, capsys):
    port = server.address.rpartition(":")[2]
    for arguments, words in (
        (("--port", port), f"port {port}: the port is in use; choose another by --port"),
        (("--host", "203.0.113.7"), "203.0.113.7, port 8000: this machine has no such address"),
        (("--host", "nowhere.invalid"), "this machine has no such address"),
        (("--host", "a" * 70), "cannot listen on"),
        (("--max-images", "300"), "raise max_queue"),
    ):
        assert main(["serve", "--model", "demo", *arguments]) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert len(told.err.splitlines()) == 1
        assert words in told.err


@pytest.mark.parametrize(
    "arguments", [("--port", "65536"), ("--port", "x"), ("--batch-wait-ms", "-1"), ("--drain-s", "nan")]
)
def test_wrong_usage(arguments):
    with pytest.raises(SystemExit) as raised:
        main(["serve", *arguments])
    assert raised.value.code == 2


@pytest.mark.parametrize("package", ["h11", "starlette", "uvicorn", "prometheus_client", "python_multipart"])
def test_missing_extra(package):
    """In a fresh process, where the package cannot be imported."""
    import subprocess
    import sys

    from tests.support.checkout import REPOSITORY

    program = (
        f"import sys; sys.modules[{package!r}] = None; import npresnet.cli; sys.exit(npresnet.cli.main(['serve']))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == (
        f"npresnet: error: serve needs the package {package}, which is not installed: "
        "python -m pip install 'npresnet[serve]'\n"
    )


@pytest.mark.parametrize("package", ["starlette", "prometheus_client", "python_multipart"])
def test_missing_extra_in_python(package):
    """The package itself can be imported without the extra, and `app` says what to install."""
    import subprocess
    import sys

    from tests.support.checkout import REPOSITORY

    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "import npresnet, npresnet.serve\n"
        "assert 'app' in dir(npresnet.serve) and not hasattr(npresnet.serve, 'apps')\n"
        "try:\n    from npresnet.serve import app\n"
        "except npresnet.NpresnetError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.stdout == (
        f"serve needs the package {package}, which is not installed: python -m pip install 'npresnet[serve]'\n"
    ), done.stderr


def test_bind_on_ipv6():
    try:
        bound = bind("::1", 0)
    except ServeError as error:
        pytest.skip(str(error))
    with bound:
        assert bound.family == socket.AF_INET6


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_answers_do_not_wait_for_acknowledgements(host):
    """asyncio sets TCP_NODELAY on connections whose socket says that it is of TCP."""

    async def scenario() -> int:
        found = asyncio.get_running_loop().create_future()

        async def greet(reader, writer) -> None:
            accepted = writer.get_extra_info("socket")
            found.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with bind(host, 0) as bound:
            server = await asyncio.start_server(greet, sock=bound)
            async with server:
                _, writer = await asyncio.open_connection(*bound.getsockname()[:2])
                delay = await asyncio.wait_for(found, 10)
                writer.close()
            return delay

    assert asyncio.run(scenario())
