"""The images in a request's body: raw bytes, multipart files, or base64 in JSON."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from email.message import Message
from typing import Any, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, FormParser

from npresnet.errors import ImageError
from npresnet.serve.refusals import RefusedError

RAW = (
    "",
    "application/octet-stream",
    "application/x-www-form-urlencoded",
)  # the last is what `curl --data-binary` says
EXPECTED = "expected an image's bytes (image/*, application/octet-stream), multipart/form-data, or application/json"
SPACES = b" \t\r\n\v\f"  # in base64 of several lines
FEW_VALUES = 1000  # of JSON, besides an image's own
JSON_EXPECTED = 'expected {"image": "<base64>"} or {"images": ["<base64>", ...]}'


class Upload(NamedTuple):
    """One image: its file's name or its position, and its encoded bytes or why there are none."""

    path: str
    data: bytes | ImageError


class Uploads(NamedTuple):
    """The images of a request; `single` is one that was not sent as a list."""

    images: list[Upload]
    single: bool


def read(content_type: str, body: bytes, max_images: int) -> Uploads:
    """Raises RefusedError: 400 for what cannot be parsed, 415 for other types, 422 for too many images or none."""
    header = Message()
    header["content-type"] = content_type
    kind = header.get_content_type() if content_type else ""
    if kind == "multipart/form-data":
        images = _from_multipart(body, header.get_param("boundary"), max_images)
    elif kind == "application/json":
        found = parsed(body, FEW_VALUES + 2 * max_images)
        if isinstance(found, dict) and found.keys() == {"image"}:
            return Uploads([_from_base64("0", found["image"])], single=True)
        if not isinstance(found, dict) or found.keys() != {"images"} or not isinstance(found["images"], list):
            raise RefusedError(400, f"{JSON_EXPECTED}, got {_shown(found)}")
        _check_count(len(found["images"]), max_images)
        images = [_from_base64(str(position), text) for position, text in enumerate(found["images"])]
    elif kind in RAW or kind.startswith("image/"):
        return Uploads([Upload("0", body)], single=True)
    else:
        raise RefusedError(415, f"Content-Type {kind!r:.80} is not supported; {EXPECTED}")
    if not images:
        raise RefusedError(422, "the request has no image; send at least one")
    return Uploads(images, single=False)


def parsed(
    body: bytes,
    most_values: int,
    more: str = "",
    each_object: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> Any:
    """A JSON document. Raises RefusedError for anything else, NaN and infinities included.

    most_values  bounds lists, objects and their items together: a byte of JSON becomes up to thirty of Python's
    more         what an error says beyond that
    each_object  what is taken in the place of an object
    """
    try:
        text = str(body, "utf-8")
        if sum(map(text.count, "[{,")) > most_values:
            raise RefusedError(400, f"the JSON has more values than the {most_values} that any request needs{more}")
        return json.loads(text, parse_constant=_no_constant, object_hook=each_object)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RefusedError(400, f"the body is not valid JSON: {why[:200]}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")


def _shown(found: Any) -> str:
    if isinstance(found, dict):
        return f"an object with the keys {sorted(found)!r:.100}"
    return f"{type(found).__name__}"


def _check_count(count: int, most: int) -> None:
    if count > most:
        raise RefusedError(
            422,
            f"a request may have {most} images, this one has {count if count < most + 2 else 'more'}; send several "
            "requests, or allow more by --max-images",
        )


def _from_base64(path: str, text: Any) -> Upload:
    if not isinstance(text, str):
        return Upload(path, ImageError(f"image {path} must be text in base64, got {type(text).__name__}"))
    _, comma, data = text.partition(",") if text.startswith("data:") else ("", "", text)
    try:
        return Upload(path, base64.b64decode(data.encode("ascii").translate(None, SPACES), validate=True))
    except (binascii.Error, ValueError) as error:
        return Upload(path, ImageError(f"image {path} is not base64: {error}"))


def _from_multipart(body: bytes, boundary: Any, max_images: int) -> list[Upload]:
    """Every file of a form, in order."""
    if not isinstance(boundary, str) or not boundary:
        raise RefusedError(400, "the multipart body's Content-Type has no boundary")
    images: list[Upload] = []
    ended: list[bool] = []

    def on_file(file: File) -> None:
        _check_count(len(images) + 1, max_images)
        file.file_object.seek(0)
        name = (file.file_name or b"").decode("utf-8", "replace")
        images.append(Upload(name or str(len(images)), file.file_object.read()))

    def on_field(field: Field) -> None:
        name = (field.field_name or b"").decode("utf-8", "replace")
        raise RefusedError(
            400, f"the form's field {name!r:.80} is no file; send files, as `curl -F image=@dog.jpg` does"
        )

    try:
        parser = FormParser(
            "multipart/form-data",
            on_field,
            on_file,
            on_end=lambda: ended.append(True),
            boundary=boundary,
            config={"MAX_MEMORY_FILE_SIZE": len(body) + 1, "UPLOAD_ERROR_ON_BAD_CTE": True},
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise RefusedError(400, f"the body is not multipart/form-data: {str(error)[:200]}") from None
    if not ended:
        raise RefusedError(400, "the multipart body is truncated: its last boundary is missing")
    return images
