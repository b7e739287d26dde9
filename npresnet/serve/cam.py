"""POST /cam: the class activation map of one image, as a PNG over the picture, or as JSON for a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from npresnet import images
from npresnet.errors import ArchitectureError, ImageError
from npresnet.images.preprocessing import _crop_box, resized_size
from npresnet.images.presets import Preprocess
from npresnet.model.model import Model
from npresnet.model.one_class import class_index
from npresnet.serve.bodies import received
from npresnet.serve.front import service_of, unless_gone
from npresnet.serve.predict import require_classifier, text_of, uploads_of
from npresnet.serve.refusals import RefusedError, json_response
from npresnet.serve.service import Service, preprocess_of
from npresnet.system.text import visible
from npresnet.views import overlay
from npresnet.views.cam import find_head

Array = NDArray[Any]


def why_not(model: Model) -> str:
    """Why this network has no class activation map; "" where it has."""
    try:
        find_head(model.network)
    except ArchitectureError as error:
        return str(error)
    return ""


async def cam(request: Request) -> Response:
    """The map of class `?index=K`, a number or a label, or the best: a PNG where `Accept` asks for one, else JSON.

    JSON: {index, label, box, heat}. heat is a PNG with transparency, and belongs onto the picture's part `box`: left,
    top, right, bottom as shares of its width and height (outside 0..1 where the network sees a border).
    """
    service, asked = service_of(request), text_of(request, "index", "CLASS")
    is_png = "image/png" in request.headers.get("accept", "")
    async with received(request, service) as body:
        return await unless_gone(request, _answer(request, service, body, asked, is_png))


async def _answer(request: Request, service: Service, body: bytes, asked: str | None, is_png: bool) -> Response:
    require_classifier(service)
    find_head(service.model.network)  # its words are the answer
    index = None if asked is None else class_index(asked, service.labels, f"index={asked}")
    sent = await uploads_of(request, service, body)
    if len(sent.images) != 1:
        raise RefusedError(422, f"expected one image, got {len(sent.images)}")
    data = sent.images[0].data
    if isinstance(data, ImageError):
        raise data
    with service.admitted(1):
        read = partial(service.in_pool, _decoded, service.model, data)
        async with service.pictures.holding(read, _size) as picture:
            chosen, heat = await service.in_turn(_mapped(service.model, picture, index))
            return await service.in_pool(_png if is_png else _layer, service, picture, chosen, heat)


def _decoded(model: Model, data: bytes) -> Image.Image:
    how = preprocess_of(model)
    return images.read(data, exif=how is not None and how.exif, max_pixels=model.config.value("max_pixels"))


def _size(picture: Image.Image) -> int:
    """Bytes of its pixels."""
    return picture.width * picture.height * len(picture.getbands())


def _mapped(model: Model, picture: Image.Image, index: int | None) -> Callable[[], tuple[int, Array]]:
    def compute() -> tuple[int, Array]:
        chosen = model.predict(picture, top=1).index if index is None else index
        return chosen, model.cam(picture, chosen)

    return compute


def _png(service: Service, picture: Image.Image, index: int, heat: Array) -> Response:
    assert service.how is not None  # or there would be no heat
    limit = service.model.config.value("max_pixels")
    blended = overlay.cam(images.cropped(picture, service.how, max_pixels=limit), heat)
    return Response(_encoded(blended), media_type="image/png")


def _layer(service: Service, picture: Image.Image, index: int, heat: Array) -> Response:
    assert service.how is not None
    opacity = overlay.COLD + (overlay.HOT - overlay.COLD) * heat  # (H, W)
    layer = np.dstack([overlay.colours(heat), np.rint(255 * opacity).astype(np.uint8)])  # (H, W, 4)
    text = base64.b64encode(_encoded(layer)).decode()
    label = visible(service.labels[index]) if service.labels and index < len(service.labels) else str(index)
    return json_response(
        {
            "index": index,
            "label": label,
            "box": box_of(picture.size, service.how),
            "heat": f"data:image/png;base64,{text}",
        }
    )


def box_of(size: tuple[int, int], how: Preprocess) -> list[float]:
    """The part of a picture (width, height) that the network sees: left, top, right, bottom as shares of its sides."""
    width, height = resized_size(size, how.resize)
    left, top, right, bottom = _crop_box((width, height), how.crop)
    return [left / width, top / height, right / width, bottom / height]


def _encoded(pixels: Array) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()
