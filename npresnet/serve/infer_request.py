"""An inference request of the Open Inference Protocol, version 2: JSON, and after it the tensors sent as binary data.

    {"id": ..., "parameters": {"binary_data_output": true},
     "inputs":  [{"name", "shape", "datatype", "data" or "parameters": {"binary_data_size": bytes}}],
     "outputs": [{"name", "parameters": {"binary_data": true, "classification": count}}]}

Inputs, one of the two:

    input  FP32 (N, C, H, W)    preprocessed, finite
    image  BYTES (N) or (N, 1)  encoded pictures; in JSON as base64

Source: KServe's Open Inference Protocol with the extensions for binary tensor data and for classification.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from npresnet.images.limits import MAX_INPUT_PIXELS
from npresnet.serve.numbers import Numbers, not_numbers, numbers, put_back, taken_out
from npresnet.serve.refusals import RefusedError
from npresnet.serve.uploads import FEW_VALUES, parsed

Array = NDArray[Any]
MAX_ID = 256
TENSOR, IMAGE = "input", "image"
MORE = f', and the data of input "{TENSOR}" must be numbers'


class Expected(NamedTuple):
    """What a request may hold.

    shape       (C, H, W) of an image; -1 for a side that any picture decides
    max_images  of one request
    outputs     the names that may be asked for
    """

    shape: tuple[int, ...]
    max_images: int
    outputs: Sequence[str]


class Wanted(NamedTuple):
    """An output: binary or JSON, and as how many classes (0: as it is)."""

    name: str
    binary: bool
    classes: int = 0


class InferRequest(NamedTuple):
    """images are encoded pictures, or arrays (1, C, H, W) float32."""

    id: str | None
    images: list[bytes] | list[Array]
    outputs: list[Wanted]


def read(body: bytes, header_length: str | None, expected: Expected) -> InferRequest:
    """Parse a body; header_length is the value of Inference-Header-Content-Length. Raises RefusedError 400."""
    size = _header_size(header_length, len(body))
    text, lists = taken_out(body[:size], TENSOR)
    head = parsed(text, FEW_VALUES + 2 * expected.max_images, MORE, partial(put_back, lists=lists))
    if not isinstance(head, dict):
        raise RefusedError(400, f"the request must be a JSON object, got {type(head).__name__}")
    request_id = _id(head.get("id"))
    images = _images(_only_input(head.get("inputs")), memoryview(body)[size:], expected)
    return InferRequest(request_id, images, _outputs(head, expected))


def _id(found: Any) -> str | None:
    """As it is sent back: an unpaired surrogate, which JSON can escape, could not be written."""
    is_text = isinstance(found, str) and len(found) <= MAX_ID and not any("\ud800" <= one <= "\udfff" for one in found)
    if found is not None and not is_text:
        raise RefusedError(400, f"id must be text of at most {MAX_ID} characters, without unpaired surrogates")
    return found if is_text else None


def _header_size(text: str | None, total: int) -> int:
    if text is None:
        return total
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and int(text) <= total):
        raise RefusedError(400, f"Inference-Header-Content-Length is {text!r:.40}, and the body has {total} bytes")
    return int(text)


def _only_input(inputs: Any) -> dict[str, Any]:
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise RefusedError(400, f'inputs must be a list of one tensor, "{TENSOR}" or "{IMAGE}"')
    found = inputs[0]
    if found.get("name") not in (TENSOR, IMAGE):
        raise RefusedError(
            400, f'unknown input {found.get("name")!r:.80}; expected "{TENSOR}" (FP32) or "{IMAGE}" (BYTES)'
        )
    return found


def _images(tensor: dict[str, Any], binary: memoryview, expected: Expected) -> list[bytes] | list[Array]:
    name, data, size = tensor["name"], tensor.get("data"), parameters_of(tensor).get("binary_data_size")
    datatype = "FP32" if name == TENSOR else "BYTES"
    if tensor.get("datatype") != datatype:
        raise RefusedError(400, f'input "{name}" must be {datatype}, got {tensor.get("datatype")!r:.40}')
    shape = _shape(tensor.get("shape"), expected, name)
    if size is not None:
        if type(size) is not int or size != len(binary):
            raise RefusedError(
                400, f'input "{name}" says binary_data_size {size!r:.40}, and {len(binary)} bytes follow'
            )
        if "data" in tensor:
            raise RefusedError(400, f'input "{name}" has both data and binary_data_size')
        return _counted(_split(binary, shape[0]), shape) if name == IMAGE else _rows(_floats(binary, shape))
    if len(binary):
        raise RefusedError(400, f"{len(binary)} bytes follow the JSON, and no input has binary_data_size")
    if not isinstance(data, (list, Numbers)):
        raise RefusedError(400, f'input "{name}" has no data: expected a list, or binary data')
    if name == IMAGE:
        return _counted(_decoded(data), shape)
    if not isinstance(data, Numbers):
        raise not_numbers(name)
    return _rows(numbers(data.text, shape, name))


def _rows(x: Array) -> list[Array]:
    """Of (N, C, H, W) the images (1, C, H, W)."""
    if not np.isfinite(x).all():
        raise RefusedError(400, f'input "{TENSOR}" holds NaN or infinity, or numbers beyond FP32')
    return [x[i : i + 1] for i in range(len(x))]


def parameters_of(entry: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a request, an input or an output. Raises RefusedError where they are no object."""
    found = entry.get("parameters")
    if found is not None and not isinstance(found, dict):
        raise RefusedError(400, "parameters must be an object")
    if found and "shared_memory_region" in found:  # who reads the answer there would read something else
        raise RefusedError(400, "shared memory is not supported; send tensors, and take them, in the messages")
    return found or {}


def _shape(found: Any, expected: Expected, name: str) -> tuple[int, ...]:
    """The shape, checked: (N, C, H, W), or (N) or (N, 1) of encoded pictures."""
    wanted = (-1, *expected.shape) if name == TENSOR else (-1, 1)
    is_short = name == IMAGE and isinstance(found, list) and len(found) == 1
    fits = isinstance(found, list) and (is_short or len(found) == len(wanted))
    if fits:
        fits = all(
            type(side) is int and side >= 1 and limit in (-1, side) for side, limit in zip(found, wanted, strict=False)
        )
    if not fits:
        raise RefusedError(
            400, f'input "{name}" must have the shape {list(wanted)} with at least one image, got {found!r:.80}'
        )
    if found[0] > expected.max_images:
        raise RefusedError(
            400,
            f"a request may have {expected.max_images} images, this one has {found[0]!r:.40}; send several "
            "requests, or allow more by --max-images",
        )
    if math.prod(found[2:]) > MAX_INPUT_PIXELS:
        raise RefusedError(400, f'input "{name}" may have {MAX_INPUT_PIXELS} pixels, got {found!r:.80}')
    return tuple(found)


def _floats(binary: memoryview, shape: tuple[int, ...]) -> Array:
    if len(binary) != 4 * math.prod(shape):
        raise RefusedError(
            400, f'input "{TENSOR}" of the shape {list(shape)} needs {4 * math.prod(shape)} bytes, got {len(binary)}'
        )
    return np.frombuffer(binary, "<f4").astype(np.float32, copy=False).reshape(shape)


def _counted(pictures: list[bytes], shape: tuple[int, ...]) -> list[bytes]:
    if len(pictures) != shape[0]:
        raise RefusedError(400, f'input "{IMAGE}" has the shape {list(shape)} and {len(pictures)} pictures')
    return pictures


def _split(binary: memoryview, most: int) -> list[bytes]:
    """BYTES: each element's length, 4 bytes, little-endian, and the element."""
    found: list[bytes] = []
    at = 0
    while at < len(binary) and len(found) <= most:
        if len(binary) - at < 4:
            raise RefusedError(400, f'the binary data of input "{IMAGE}" ends inside a length')
        (size,) = struct.unpack_from("<I", binary, at)
        if size > len(binary) - at - 4:
            raise RefusedError(
                400, f'an element of input "{IMAGE}" says {size} bytes, and {len(binary) - at - 4} follow'
            )
        found.append(bytes(binary[at + 4 : at + 4 + size]))
        at += 4 + size
    return found


def _decoded(data: list[Any] | Numbers) -> list[bytes]:
    """BYTES in JSON: base64, in a list or in a list of lists of one."""
    if isinstance(data, Numbers):
        if data.is_empty:
            return []
        raise RefusedError(400, f'the data of input "{IMAGE}" must be a list of texts in base64')
    texts = [text[0] if isinstance(text, list) and len(text) == 1 else text for text in data]
    try:
        return [base64.b64decode(text, validate=True) for text in texts if _is_text(text)]
    except (binascii.Error, ValueError):
        raise RefusedError(
            400, f'the data of input "{IMAGE}" must be pictures in base64; or send them as binary data'
        ) from None


def _is_text(text: Any) -> bool:
    if not isinstance(text, str):
        raise RefusedError(400, f'the data of input "{IMAGE}" must be text in base64, got {type(text).__name__}')
    return True


def _outputs(head: dict[str, Any], expected: Expected) -> list[Wanted]:
    binary = parameters_of(head).get("binary_data_output") is True
    entries = head.get("outputs")
    if not entries:
        return [Wanted(name, binary) for name in expected.outputs]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise RefusedError(400, "outputs must be a list of objects")
    wanted = []
    for entry in entries:
        name, parameters = entry.get("name"), parameters_of(entry)
        if name not in expected.outputs:
            raise RefusedError(400, f"unknown output {name!r:.80}; expected one of {', '.join(expected.outputs)}")
        classes = parameters.get("classification", 0)
        if type(classes) is not int or classes < 0 or (classes and name not in ("logits", "probabilities")):
            raise RefusedError(400, f'classification {classes!r:.40} of output "{name}": expected a count, of scores')
        wanted.append(Wanted(name, parameters.get("binary_data", binary) is True, classes))
    if len({output.name for output in wanted}) != len(wanted):
        raise RefusedError(400, "an output is asked for twice")
    return wanted
