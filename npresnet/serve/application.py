"""app: the routes of one model as a Starlette application, for uvicorn, Ray Serve or any other ASGI server."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import npresnet
from npresnet.errors import ArchitectureError, NpresnetError
from npresnet.model.model import Model
from npresnet.serve import open_inference
from npresnet.serve.cam import cam
from npresnet.serve.front import Front, on_error, on_http_error, service_of
from npresnet.serve.page import page
from npresnet.serve.predict import predict
from npresnet.serve.refusals import json_response
from npresnet.serve.service import Service
from npresnet.serve.settings import Settings


def app(model: str | Path | Model, **settings: Any) -> Starlette:
    """Serve a model: POST /predict, POST /cam, the Open Inference Protocol under /v2, /metrics, /healthz and a page.

    Parameters
    ----------
    model : path, str or Model
        A weight file or a name, which `npresnet.load` loads and which is closed when the application shuts down; or a
        Model, which stays the caller's.
    **settings
        Those of `Settings`: name, max_batch, batch_wait_ms, max_body_mb, max_images, max_queue, body_timeout_s.

    Returns
    -------
    starlette.applications.Starlette
        An ASGI application, which belongs to one event loop. Its Service is `app.state.service`.

    Raises
    ------
    NpresnetError
        For a setting that is unknown or out of its range.
    ArchitectureError
        For networks of clips; and the errors of `load`.
    """
    chosen = Settings.of(settings)
    loaded = model if isinstance(model, Model) else npresnet.load(model)
    if loaded.network.takes_clips:
        raise ArchitectureError("this network takes clips, and the server takes pictures; use `npresnet predict`")
    name = chosen.name or name_of(str(loaded.config.value("arch")) if isinstance(model, Model) else model)
    service = Service(loaded, name, chosen)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            service.close()
            if loaded is not model:
                loaded.close()

    made = Starlette(
        routes=[
            Route("/", page),
            Route("/predict", predict, methods=["POST"]),
            Route("/cam", cam, methods=["POST"]),
            Route("/healthz", healthz),
            Route("/metrics", metrics),
            *open_inference.routes(),
        ],
        middleware=[Middleware(Front, service=service)],
        exception_handlers={NpresnetError: on_error, HTTPException: on_http_error, Exception: on_error},
        lifespan=lifespan,
    )
    made.router.redirect_slashes = False  # to an address that the Host header makes up, and without a proxy's path
    made.state.service = service
    return made


async def healthz(request: Request) -> Response:
    """200 and {"status": "ok"}; 503 while the server drains."""
    draining = service_of(request).draining
    return json_response({"status": "draining" if draining else "ok"}, 503 if draining else 200)


async def metrics(request: Request) -> Response:
    """Prometheus's text format."""
    return service_of(request).metrics.response()


def name_of(source: str | Path) -> str:
    """A model's name in addresses: that of its file, without its suffix."""
    text = re.sub(r"\.(npz|pth?|th|pkl|safetensors|h5|keras)$", "", Path(source).name)
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:100] or "model"
