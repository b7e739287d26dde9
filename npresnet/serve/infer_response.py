"""The answer to an inference request: tensors as JSON, or as binary data after it."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response

from npresnet.model.prediction import Prediction
from npresnet.serve.infer_request import InferRequest, Wanted
from npresnet.serve.refusals import json_bytes, json_list, json_with
from npresnet.serve.service import Service
from npresnet.system.text import visible

Array = NDArray[Any]
VERSION = "1"
HEADER = "Inference-Header-Content-Length"


def outputs_of(service: Service) -> dict[str, tuple[str, list[int]]]:
    """Name -> datatype and shape, -1 for the number of images."""
    classes = service.model.config.value("num_classes")
    if not classes:
        return {"embedding": ("FP32", [-1, service.width])}
    names = len(service.prediction(np.zeros(classes, np.float32), 1).probabilities)
    return {"logits": ("FP32", [-1, classes]), "probabilities": ("FP32", [-1, names]), "label": ("BYTES", [-1])}


def respond(service: Service, request: InferRequest, rows: Sequence[Array]) -> Response:
    """The response for the network's outputs, one row an image."""
    predictions = [service.prediction(row, 1) for row in rows] if "logits" in outputs_of(service) else []
    entries, parts = [], []
    for wanted in request.outputs:
        entry, values = _tensor(service, wanted, rows, predictions)
        if wanted.binary:
            parts.append(_binary(values))
            entries.append(json_bytes({**entry, "parameters": {"binary_data_size": len(parts[-1])}}))
        else:
            entries.append(json_with(entry, "data", _json(values)))
    content = {"model_name": service.name, "model_version": VERSION}
    if request.id is not None:
        content["id"] = request.id
    head = json_with(content, "outputs", b"[%s]" % b",".join(entries))
    if not parts:
        return Response(head, media_type="application/json")
    headers = {HEADER: str(len(head))}
    return Response(b"".join([head, *parts]), headers=headers, media_type="application/octet-stream")


def _tensor(
    service: Service, wanted: Wanted, rows: Sequence[Array], predictions: Sequence[Prediction]
) -> tuple[dict[str, Any], Array | list[str]]:
    """An output's entry without its data, and these: numbers, or texts row by row."""
    if wanted.name == "label":
        return _entry(wanted, "BYTES", [len(rows)]), [visible(prediction.label) for prediction in predictions]
    is_scores = wanted.name == "probabilities"
    values = np.stack([prediction.probabilities for prediction in predictions] if is_scores else list(rows))
    if wanted.classes:
        count = min(wanted.classes, values.shape[1])
        texts = [text for row in values for text in _ranked(row, service.labels, count)]
        return _entry(wanted, "BYTES", [len(rows), count]), texts
    return _entry(wanted, "FP32", list(values.shape)), values


def _entry(wanted: Wanted, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": wanted.name, "datatype": datatype, "shape": shape}


def _json(values: Array | list[str]) -> bytes:
    """A flat list; numbers with the digits that FP32 has, NaN and infinity as null."""
    if isinstance(values, list):
        return json_list(values)
    return json_list(values.ravel(), lambda value: float(f"{value:.9g}") if math.isfinite(value) else None)


def _binary(values: Array | list[str]) -> bytes:
    """FP32 little-endian; of texts each one's length, 4 bytes, and its UTF-8."""
    if not isinstance(values, list):
        return values.astype("<f4").tobytes()
    encoded = [text.encode() for text in values]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)


def _ranked(row: Array, labels: Sequence[str] | None, count: int) -> list[str]:
    """The best classes as value:index:label, or value:index where this score has no label."""
    named = labels if labels is not None and len(labels) == len(row) else None
    best = np.argsort(-row, kind="stable")[:count]
    return [f"{row[i]:f}:{i}" + (f":{visible(named[i])}" if named else "") for i in best]
