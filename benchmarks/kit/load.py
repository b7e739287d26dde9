"""Load on a server: so many clients, each of which asks again as soon as it is answered, for a given time."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from npresnet.bench.process import without_paths
from npresnet.bench.timing import quantile

STARTS_S, ANSWERS_S = 120.0, 60.0
BOUNDARY = "npresnet-load"


class LoadError(Exception):
    """A server did not start, or answered otherwise than expected."""


@dataclass
class Load:
    """What came back: the milliseconds of each request, and the seconds of all."""

    times_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, float]:
        """Requests, requests per second, and the quantiles of their times."""
        ordered = sorted(self.times_ms)
        shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
        times = {name: round(quantile(ordered, share), 3) for name, share in shares.items()}
        return {"requests": len(ordered), "requests_per_s": round(len(ordered) / self.seconds, 2), **times}


@contextmanager
def running(command: Sequence[str], environ: Mapping[str, str]) -> Iterator[int]:
    """The port of a server that says on stderr where it listens; it is ended afterwards. Raises LoadError."""
    process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    lines: list[str] = []
    listening = threading.Event()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if " listening on http://" in f" {line}":
                listening.set()
        listening.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        listening.wait(STARTS_S)
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)", "".join(lines))
        if not found:
            raise LoadError(without_paths(f"did not start: {lines[-1].strip() if lines else 'it said nothing'}"))
        yield int(found[1])
    finally:
        process.send_signal(signal.SIGTERM if os.name == "posix" else signal.SIGINT)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join()


def request_of(photo: bytes) -> bytes:
    """POST /predict of a form with one file: what both servers take."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="photo.jpg"\r\n\r\n'
    body = head.encode() + photo + f"\r\n--{BOUNDARY}--\r\n".encode()
    lines = [
        "POST /predict HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def load(port: int, request: bytes, clients: int, seconds: float) -> tuple[Load, int]:
    """What `clients` connections measure within `seconds`, and the class that all answers name. Raises LoadError."""
    return asyncio.run(_load(port, request, clients, seconds))


async def _load(port: int, request: bytes, clients: int, seconds: float) -> tuple[Load, int]:
    found, answers = Load(), set[int]()
    began = perf_counter()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while perf_counter() - began < seconds:
                start = perf_counter()
                writer.write(request)
                await writer.drain()
                answers.add(index_of(await asyncio.wait_for(_answer(reader), ANSWERS_S)))
                found.times_ms.append((perf_counter() - start) * 1e3)
        finally:
            writer.close()

    try:
        await asyncio.gather(*(client() for _ in range(clients)))
    except (OSError, ValueError, EOFError, asyncio.TimeoutError) as error:
        raise LoadError(f"{type(error).__name__}: {str(error)[:200]}") from None
    found.seconds = perf_counter() - began
    if len(answers) != 1:
        raise LoadError(f"the same photo was answered with the classes {sorted(answers)}")
    return found, answers.pop()


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    length = re.search(r"(?i)^content-length: *(\d+)", head, re.MULTILINE)
    body = await reader.readexactly(int(length[1])) if length else b""
    if not head.startswith("HTTP/1.1 200 "):
        raise ValueError(f"{head.splitlines()[0]}: {body[:200]!r}")
    return body


def index_of(body: bytes) -> int:
    """The class in an answer: a record, or a list of one."""
    found: Any = json.loads(body)
    return int((found[0] if isinstance(found, list) else found)["index"])
