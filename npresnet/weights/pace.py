"""Limits of a download's time: a least rate, and a total. They hold for every byte, a server's headers included.

A server, or a proxy before it, that sends a byte now and then would otherwise hold a download, and the lock that other
processes wait for, without end: a socket's timeout begins anew with each byte.
"""

from __future__ import annotations

import http.client
import io
import time
import urllib.request
from collections.abc import Callable
from typing import Any

LEAST_BYTES_PER_S = 1_000
WINDOW_S = 60.0  # over which the rate is measured
TOTAL_S = 6 * 3600.0  # of all attempts; the next run continues


class Pace:
    """The time of one download. Raises TimeoutError, from inside a response's reading, where it is too slow."""

    def __init__(self) -> None:
        self._end_s = time.monotonic() + TOTAL_S
        self.begin()

    @property
    def is_over(self) -> bool:
        """Whether the total is used up."""
        return time.monotonic() >= self._end_s

    def begin(self) -> None:
        """A new attempt."""
        self.is_slow = False
        self._start_s, self._bytes = time.monotonic(), 0

    def count(self, size_bytes: int) -> None:
        """So many bytes have come."""
        self._bytes += size_bytes
        passed_s = time.monotonic() - self._start_s
        if self.is_over:
            raise TimeoutError(f"it was not complete after {TOTAL_S / 3600:g} hours; the next attempt continues it")
        if passed_s < WINDOW_S:
            return
        if self._bytes < LEAST_BYTES_PER_S * passed_s:
            self.is_slow = True
            raise TimeoutError(f"only {self._bytes:,} bytes came in {passed_s:.0f} s")
        self._start_s, self._bytes = time.monotonic(), 0

    def open(self, request: urllib.request.Request, timeout_s: float) -> Any:
        """As `urllib.request.urlopen`; the response keeps this pace."""
        return urllib.request.build_opener(_Http(self), _Https(self)).open(request, timeout=timeout_s)


class _Counted(io.RawIOBase):
    """A socket's bytes, counted as they come."""

    def __init__(self, raw: Any, pace: Pace):
        self._raw, self._pace = raw, pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count: int | None = self._raw.readinto(buffer)
        self._pace.count(count or 0)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _paced(connect: Callable[..., Any], pace: Pace) -> Callable[..., Any]:
    """The same kind of connection, whose responses keep the pace."""

    def respond(sock: Any, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(sock, *args, **kwargs)
        response.fp = io.BufferedReader(_Counted(response.fp.detach(), pace))
        return response

    def connected(*args: Any, **kwargs: Any) -> Any:
        connection = connect(*args, **kwargs)
        connection.response_class = respond
        return connection

    return connected


class _Http(urllib.request.HTTPHandler):
    def __init__(self, pace: Pace):
        super().__init__()
        self._pace = pace

    def do_open(self, http_class: Any, req: Any, **options: Any) -> Any:
        return super().do_open(_paced(http_class, self._pace), req, **options)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, pace: Pace):
        super().__init__()
        self._pace = pace

    def do_open(self, http_class: Any, req: Any, **options: Any) -> Any:
        return super().do_open(_paced(http_class, self._pace), req, **options)
