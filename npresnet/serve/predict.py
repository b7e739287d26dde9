"""POST /predict: images in, records out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from npresnet.errors import ArchitectureError, ImageError, NpresnetError, ShapeError
from npresnet.model.prediction import Prediction
from npresnet.model.records import record
from npresnet.serve import uploads
from npresnet.serve.bodies import received
from npresnet.serve.front import service_of, together, unless_gone
from npresnet.serve.refusals import RefusedError, json_bytes, json_list, json_with, to_refused
from npresnet.serve.service import Service
from npresnet.serve.uploads import Upload, Uploads

TOP = 5
FEW = 100  # candidates that are ranked and written in less than a millisecond


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
    is_alone = len(sent.images) == 1
    with service.admitted(len(sent.images)):
        records = await together([_told(service, image, top, is_alone) for image in sent.images])
    body = records[0] if sent.single else await service.in_pool(_listed, records)
    return Response(body, media_type="application/json")


async def _told(service: Service, image: Upload, top: int, is_alone: bool) -> bytes:
    """The record of one image as JSON. Raises RefusedError where it is alone and cannot be read."""
    result = await _result(service, image, top)
    if is_alone and isinstance(result, NpresnetError):
        raise to_refused(result)
    if min(top, service.model.config.value("num_classes")) <= FEW:
        return _json(image.path, result)
    return await service.in_pool(_json, image.path, result)  # the event loop has others to serve


def _listed(records: list[bytes]) -> bytes:
    return b"[%s]" % b",".join(records)


def _json(path: str, result: Prediction | NpresnetError) -> bytes:
    found = record(path, result)
    top = found.pop("top", None)
    return json_bytes(found) if top is None else json_with(found, "top", json_list(top))


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
    """The integer that the address may have after `?`, and nothing else. Raises RefusedError."""
    text = text_of(request, name, "NUMBER")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) >= least):
        raise RefusedError(400, f"{name} must be an integer of at least {least}, got {text!r:.60}")
    return int(text)


def text_of(request: Request, name: str, kind: str) -> str | None:
    """What stands behind `?name=`; the address may have nothing else there. Raises RefusedError.

    kind  of value that is expected, for the message
    """
    given = request.query_params.multi_items()
    if any(key != name for key, _ in given) or len(given) > 1:
        shown = "&".join(f"{key}={value}" for key, value in given)
        raise RefusedError(400, f"the address may end in ?{name}={kind} and nothing else, got {shown!r:.120}")
    return given[0][1] if given else None
