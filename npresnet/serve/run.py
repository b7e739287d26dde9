"""`npresnet serve`: a socket, uvicorn, and an orderly end.

SIGTERM and Ctrl-C drain: requests in progress are answered, new ones get 503, `/v2/health/ready` says 503; then the
process ends with 0. A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from npresnet.serve.application import app
from npresnet.serve.connections import LINGERING, Connection
from npresnet.serve.refusals import ServeError
from npresnet.serve.service import Service
from npresnet.system.text import visible

BACKLOG = 256
KEEP_ALIVE_S = 5
GRACE_S = 1  # for connections whose requests were cut
POLL_S = 0.05
OTHER_DESCRIPTORS = 64  # of the process itself: weights, threads, the event loop
Say = Callable[[str], None]


def bind(host: str, port: int) -> socket.socket:
    """A socket that is bound and does not listen yet. Raises ServeError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        # TCP by its number: of a socket with protocol 0 asyncio leaves Nagle's algorithm on, and an answer's second
        # segment waits for the client's delayed acknowledgement, 40 ms
        bound = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise ServeError(_cannot(host, port, error)) from None
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise ServeError(_cannot(host, port, error)) from None
    return bound


def _cannot(host: str, port: int, error: Exception) -> str:
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        why = "the port is in use; choose another by --port (0 takes any free one)"
    elif code in (errno.EACCES, errno.EPERM):
        why = "this user may not; choose a port from 1024 on by --port"
    elif isinstance(error, (socket.gaierror, UnicodeError)) or code == errno.EADDRNOTAVAIL:
        why = "this machine has no such address; 127.0.0.1 is this machine alone, 0.0.0.0 all its networks (--host)"
    else:
        why = getattr(error, "strerror", None) or str(error)
    return f"cannot listen on {visible(host)[:200]}, port {port}: {why}"


def run(model: Any, bound: socket.socket, *, drain_s: float, max_connections: int, say: Say, **settings: Any) -> bool:
    """Serve a model until a signal asks to stop; then close the socket. Whether all requests were answered.

    For a process that does nothing else: it takes its signals, and warnings of single pictures are not shown.

    model, settings  of `npresnet.serve.app`
    drain_s          how long requests in progress may take after the signal
    max_connections  that are open at once; further ones are answered 503
    say              is called with lines for the user

    Raises ServeError, and what the network's first run raises.
    """
    allow_descriptors(max_connections)
    warnings.simplefilter("ignore", UserWarning)  # of single pictures: clients would write the log
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # the same
    with bound:
        made = app(model, **settings)
        service: Service = made.state.service
        service.warm()
        host, port = bound.getsockname()[:2]
        try:
            bound.listen(BACKLOG)
        except OSError as error:
            raise ServeError(_cannot(host, port, error)) from None
        where = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        server = Server(made, service, drain_s, max_connections, say)
        server.greeting = f"listening on {where}, model {service.name}; Ctrl-C stops"
        asyncio.run(server.serve([bound]))
    return server.lost == 0


def allow_descriptors(connections: int) -> None:
    """Let this process have as many connections open. Raises ServeError where it may not."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    count = connections + LINGERING + OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    except (ValueError, OSError):
        raise ServeError(
            f"{connections} connections need {count} open files, and this process may have {hard}; take fewer by "
            f"--max-connections, or raise the limit (ulimit -Hn {count})"
        ) from None


class Server(uvicorn.Server):
    """uvicorn with our way to stop. lost: requests that were cut because they took too long."""

    greeting = ""

    def __init__(self, made: Any, service: Service, drain_s: float, max_connections: int, say: Say):
        config = uvicorn.Config(
            made,
            http=Connection,
            limit_concurrency=max_connections,
            ws="none",
            lifespan="on",
            backlog=BACKLOG,
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)
        self._service, self._drain_s, self._say = service, drain_s, say
        self._draining: asyncio.Task[None] | None = None
        self.lost = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say where it listens once it does."""
        await super().startup(sockets)
        if not self.started:
            raise ServeError("the server did not start; the lines above say why")
        self._service.metrics.connections.set_function(lambda: len(self.server_state.connections))
        self._say(self.greeting)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals drain; uvicorn's own way would end the process by the signal, and not with 0."""
        loop = asyncio.get_running_loop()

        def on_signal(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.stop)

        before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Drain; when called again, stop at once."""
        if self._draining is None:
            self._service.draining = True
            self._draining = asyncio.get_running_loop().create_task(self._drain())
        else:
            self._drain_s = 0.0

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        if working := self._working():
            self._say(f"stopping: {_requests(working)} in progress; Ctrl-C again stops at once")
        while self._working() and loop.time() - began_s < self._drain_s:
            await asyncio.sleep(POLL_S)
        self.lost = self._working()
        self._say(f"stopped; {_requests(self.lost)} cut" if self.lost else "stopped")
        for connection in list(self.server_state.connections) if self.lost else ():
            connection.transport.abort()  # so that its request is given up as one whose client has gone
        self.should_exit = True

    def _working(self) -> int:
        """Requests in progress, and those whose clients have not yet taken the last piece of their answers."""
        connections = self.server_state.connections
        return self._service.working + sum(isinstance(found, Connection) and found.is_unread() for found in connections)


def _requests(count: int) -> str:
    return f"{count} request{'s' * (count != 1)}"
