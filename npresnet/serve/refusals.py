"""Errors of a server, and how they are told over HTTP: a status and {"error": "..."}."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray
from starlette.responses import Response

from npresnet.errors import ArchitectureError, ImageError, NpresnetError, ShapeError
from npresnet.system.text import visible_lines

GONE = 499  # the client has gone: nobody reads the answer, metrics count it
CLOSE = {"connection": "close"}  # after a body that was not read to its end
NO_SNIFFING = (b"x-content-type-options", b"nosniff")  # an error quotes what the client sent
FEW = 1000  # values that are made JSON in about a millisecond


class ServeError(NpresnetError, RuntimeError):
    """A server cannot be set up: a wrong setting, an address that cannot be used."""


class RefusedError(NpresnetError):
    """A request that is not answered as it was meant.

    status   of the response
    headers  such as Retry-After
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


def busy(message: str, retry_after_s: int) -> RefusedError:
    """503: the same request will be answered later."""
    return RefusedError(503, message, {"retry-after": str(retry_after_s)})


def to_refused(error: Exception, *, bad: int = 422) -> RefusedError:
    """What an error of the model means for a request: the client's mistake (status `bad`), or the server's.

    Another exception than npresnet's is not explained to clients: 500 without its text, for it may hold anything.
    """
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, (ImageError, ShapeError, ArchitectureError)):
        return RefusedError(bad, str(error))
    if isinstance(error, NpresnetError):
        return RefusedError(500, str(error))
    if isinstance(error, MemoryError):
        return busy("the server has not enough memory for this request now", 5)
    return RefusedError(500, "an internal error; the server's log has the details")


def json_bytes(content: Any) -> bytes:
    """JSON of UTF-8; NaN is refused, for JSON has none."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def json_list(values: Sequence[Any] | NDArray[Any], made: Callable[[Any], Any] = lambda value: value) -> bytes:
    """A list of what `made` makes of each of some values, or of an array (n,), as JSON.

    Written FEW at a time, because `json.dumps` of many values lets no other thread in for seconds.
    """
    starts = range(0, len(values), FEW)
    return b"[%s]" % b",".join(json_bytes([made(value) for value in values[at : at + FEW]])[1:-1] for at in starts)


def json_with(content: Mapping[str, Any], name: str, values: bytes) -> bytes:
    """An object as JSON, and after its own members one more, whose JSON is there already."""
    return b"%s%s%s:%s}" % (json_bytes(content)[:-1], b"," if content else b"", json_bytes(name), values)


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Content as JSON."""
    return Response(json_bytes(content), status, dict(headers or {}), "application/json")


def error_response(refusal: RefusedError) -> Response:
    """{"error": message}."""
    return json_response({"error": visible_lines(str(refusal))}, refusal.status, refusal.headers)
