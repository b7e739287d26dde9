"""A server in a process of its own, started by the command line, as its users start it."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator

from tests.support.checkout import REPOSITORY

STARTS_S = 60


class Served:
    """process; address as host:port; log, the lines of stderr so far."""

    def __init__(self, *arguments: str):
        self.log: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "npresnet", "serve", "--port", "0", *arguments],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "NPRESNET_PREPARED": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.address = ""
        listening = threading.Event()

        def read() -> None:
            for line in self.process.stderr:
                self.log.append(line)
                if found := re.search(r"listening on http://(\S+),", line):
                    self.address = found[1]
                    listening.set()
            listening.set()

        self._reader = threading.Thread(target=read, daemon=True)
        self._reader.start()
        listening.wait(STARTS_S)
        assert self.address, "".join(self.log)

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.address, timeout=30)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """(status, body) of a request on a connection of its own."""
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def ended(self, timeout_s: float = 30) -> tuple[int, str, str]:
        """(exit code, stdout, stderr), once it has ended by itself."""
        code = self.process.wait(timeout_s)
        self._reader.join(timeout_s)
        return code, self.process.stdout.read(), "".join(self.log)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()
        self.process.stderr.close()


@contextlib.contextmanager
def served(*arguments: str) -> Iterator[Served]:
    server = Served(*arguments)
    try:
        yield server
    finally:
        server.close()
