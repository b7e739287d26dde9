"""A model behind HTTP (extra `serve`): `npresnet serve --model M`, or `npresnet.serve.app(model)` under any server.

    application     app: the routes of one model as a Starlette application
    settings        Settings: name, batches, limits
    service         Service: one model in use; who may come in, what is decoded where, what is computed when
    room            how much of what was decoded may be in memory
    batching        images that are in flight together are computed together
    bodies          the bytes of a request, bounded in size, time and inflation
    uploads         the images in them: raw, multipart, JSON
    predict, cam    POST /predict, POST /cam
    open_inference  the Open Inference Protocol, version 2; its requests and answers in infer_request, infer_response,
                    long lists of numbers in numbers
    metrics, page   GET /metrics, GET /
    front           before every route: counts, refuses while draining, turns errors into JSON
    answers         an answer on its way, in pieces
    run             npresnet serve: listens, drains on SIGTERM
    connections     its connections: bounded in number and time; errors below a request as JSON
    refusals        errors, and how they are told over HTTP

Starlette, uvicorn, python-multipart and prometheus-client are imported here alone, and this package only by functions.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from npresnet.system.extras import needing

if TYPE_CHECKING:
    from npresnet.serve.application import app
    from npresnet.serve.settings import Settings

__all__ = ["Settings", "app"]

_HOME = {"Settings": "settings", "app": "application"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needing("serve", "npresnet[serve]"):
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
