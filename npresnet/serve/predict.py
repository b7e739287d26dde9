"""POST /predict: images in, records out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from npresnet.errors import ArchitectureError, ImageError, NpresnetError, ShapeError
from npresnet.model.prediction import Prediction
from npresnet.model.records import record
from npresnet.serve import uploads
from npresnet.serve.bodies import received
from npresnet.serve.front import service_of, together, unless_gone
from npresnet.serve.refusals import RefusedError, json_bytes, to_refused
from npresnet.serve.service import Service
from npresnet.serve.uploads import Upload, Uploads

TOP = 5
FEW = 500  # candidates that are ranked and written in a few milliseconds


async def predict(request: Request) -> Response:
    """The record of `npresnet.model.records` of one image, or a list of them where a list was sent.

    One image of several that cannot be read is a record with `error`; one alone is answered with 422.
    """
    service, top = service_of(request), number_of(request, "top", least=1) or TOP
    async with received(request, service) as body:
        return await unless_gone(request, _answer(request, service, body, top))


async def _answer(request: Request, service: Service, body: bytes, top: int) -> Response:
    require_classifier(service)
    sent = await uploads_of(request, service, body)
    with service.admitted(len(sent.images)):
        results = await together([_result(service, image, top) for image in sent.images])
    if len(results) == 1 and isinstance(results[0], NpresnetError):
        raise to_refused(results[0])
    if len(results) * min(top, service.model.config.value("num_classes")) <= FEW:
        return _told(sent, results)
    return await service.in_pool(_told, sent, results)  # the event loop has others to serve


def _told(sent: Uploads, results: Sequence[Prediction | NpresnetError]) -> Response:
    """The records, each made JSON by itself: what does that does not let other threads in."""
    records = (json_bytes(record(image.path, result)) for image, result in zip(sent.images, results, strict=True))
    body = next(records) if sent.single else b"[%s]" % b",".join(records)
    return Response(body, media_type="application/json")


async def uploads_of(request: Request, service: Service, body: bytes) -> Uploads:
    """The images of a body, parsed in the pool."""
    kind = request.headers.get("content-type", "")
    return await service.in_pool(uploads.read, kind, body, service.settings.max_images)


async def _result(service: Service, image: Upload, top: int) -> Prediction | NpresnetError:
    if isinstance(image.data, ImageError):
        service.metrics.images.labels("failed").inc()
        return image.data
    try:
        return service.prediction(await service.output(image.data), top)
    except (ImageError, ShapeError) as error:  # ShapeError: too small for a network that takes any size
        return error


def require_classifier(service: Service) -> None:
    """Raise ArchitectureError for a network that has none."""
    if not service.model.config.value("num_classes"):
        raise ArchitectureError(
            "this network has no classifier, so it cannot predict; its embeddings are the output of "
            f"/v2/models/{service.name}/infer"
        )


def number_of(request: Request, name: str, *, least: int) -> int | None:
    """An integer of the query. Raises RefusedError."""
    text: Any = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) >= least):
        raise RefusedError(400, f"{name} must be an integer of at least {least}, got {text!r:.60}")
    return int(text)
