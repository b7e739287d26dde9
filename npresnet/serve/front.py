"""What stands before every route: counting, refusing, JSON errors; and what routes share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from time import perf_counter
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from npresnet.errors import NpresnetError
from npresnet.serve.answers import Answer
from npresnet.serve.bodies import cut_slowest, linger
from npresnet.serve.refusals import CLOSE, GONE, RefusedError, busy, error_response, to_refused
from npresnet.serve.service import Service
from npresnet.system.text import visible

Result = TypeVar("Result")

# Answered also while the server drains, and however much there is to do.
ALWAYS = ("/healthz", "/metrics", "/v2/health/live", "/v2/health/ready")
WATCH_S = 0.1
# A proxy that goes by the one, before a server that goes by the other, passes a second request on unseen.
FRAMES = {b"content-length", b"transfer-encoding"}
TWO_ENDS = "the request has both Content-Length and Transfer-Encoding, so that nobody knows where it ends; send one"
LOG = logging.getLogger("npresnet.serve")


class Front:
    """ASGI middleware: counts requests, and refuses new ones while the server drains or has too many."""

    def __init__(self, app: ASGIApp, service: Service):
        self._inner, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        began_s, answer = perf_counter(), Answer(send, self._service)
        try:
            await self._answer(scope, receive, answer.send)
        finally:
            metrics, route = self._service.metrics, _route(scope)
            metrics.requests.labels(route, str(answer.code)).inc()
            metrics.seconds.labels(route).observe(perf_counter() - began_s)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._service
        if {name for name, _ in scope["headers"]} >= FRAMES:
            await error_response(RefusedError(400, TWO_ENDS, CLOSE))(scope, receive, send)
            return
        if scope["path"].endswith(ALWAYS):
            await self._inner(scope, receive, send)
            return
        if refusal := self._refusal():
            await linger(Request(scope, receive))
            await error_response(refusal)(scope, receive, send)
            return
        service.working += 1
        service.metrics.working.set(service.working)
        try:
            await self._inner(scope, receive, send)
        finally:
            service.working -= 1
            service.metrics.working.set(service.working)

    def _refusal(self) -> RefusedError | None:
        service, most = self._service, self._service.settings.max_queue
        refusal = None
        if service.draining:
            refusal = busy("this server is stopping; send the request to another, or again later", 5)
        elif service.working >= most and not cut_slowest(service):
            refusal = busy(
                f"{most} requests are in progress, as many as this server takes; try again later, or allow more by "
                "--max-queue",
                service.retry_after_s(),
            )
        if refusal is not None:
            refusal.headers.update(CLOSE)
        return refusal


def _route(scope: Scope) -> str:
    """The route's name for metrics: as many as there are routes, whatever addresses clients make up."""
    return getattr(scope.get("endpoint"), "__name__", "none") if "endpoint" in scope else "none"


def service_of(request: Request) -> Service:
    """The service of the application."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


async def unless_gone(request: Request, work: Coroutine[Any, Any, Response]) -> Response:
    """The response that `work` gives; where the client goes first, the work is cancelled. Raises RefusedError."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_until_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise RefusedError(GONE, "the client has gone")
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        await asyncio.sleep(WATCH_S)  # a server that says the body's end again and again


async def together(parts: list[Coroutine[Any, Any, Result]]) -> list[Result]:
    """The results of all parts, in order; where one raises, the others are cancelled."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


async def on_error(request: Request, error: Exception) -> Response:
    """Any exception as JSON. What is the server's own failure is logged; other exceptions are by the ASGI server."""
    refused = to_refused(error)
    if refused.status == 500 and isinstance(error, NpresnetError):
        LOG.error("%s: %s", type(error).__name__, visible(str(error)))
    return error_response(refused)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's own: no such route, or not this method."""
    assert isinstance(error, HTTPException)
    message = {
        404: f"there is nothing at {request.url.path[:200]}; see / for the page, POST /predict, and /v2",
        405: f"{request.method} is not what {request.url.path[:200]} takes: {(error.headers or {}).get('Allow', '')}",
    }.get(error.status_code, str(error.detail))
    return error_response(RefusedError(error.status_code, message, error.headers))
