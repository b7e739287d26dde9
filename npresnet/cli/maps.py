"""`npresnet embed` and `npresnet cam`: what the network makes of an image on its way to a label."""

from __future__ import annotations

import io
import json
import os
from argparse import Namespace
from typing import Any

import numpy as np

from npresnet.cli.shared import FAILED, FINE, ImagePaths, complain, model_of
from npresnet.errors import ImageError
from npresnet.system.files import replacing

LEAST_SIDE = 224  # pixels of a picture that is written


def embed(args: Namespace) -> int:
    """Print the pooled features of each image as JSON, or write them all as one .npy, a row an image."""
    paths = ImagePaths(args.images)
    with model_of(args) as model:
        records: list[tuple[str, Any]] = []
        for path in paths:
            try:
                records.append((path, model.embed(path)))
            except ImageError as error:
                paths.report(path, error)
    if args.output:
        if records:
            _write_npy(args.output, np.stack([embedding for _, embedding in records]))
    else:
        rows = [{"path": path, "embedding": [_short(value) for value in embedding]} for path, embedding in records]
        print(json.dumps(rows))
    return FAILED if paths.failures or not records else FINE


def cam(args: Namespace) -> int:
    """Lay a class activation map over the picture that the network saw, and write it as an image."""
    from npresnet import images
    from npresnet.views import overlay

    with model_of(args) as model:
        prediction = model.predict(args.image, top=1)
        index = prediction.index if args.index is None else args.index
        heat = model.cam(args.image, index)  # (H, W)
        picture = images.cropped(args.image, model.config["preprocess"].value)  # (H, W, 3)
        label = model.labels[index] if model.labels else str(index)
        score = prediction.probabilities[index]
    _write_picture(args.output, _enlarged(overlay.cam(picture, heat)))
    complain(f"wrote {args.output}: where {args.image} looks like {label} (probability {score:.2%})")
    return FINE


def _enlarged(pixels: Any) -> Any:
    """(H, W, 3), each pixel repeated where the picture is so small (CIFAR's 32x32) that nobody could see it."""
    times = max(1, LEAST_SIDE // max(pixels.shape[:2]))
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def _short(value: Any) -> float | None:
    """A float32 in the nine digits that tell it from any other; JSON has no NaN."""
    return float(f"{value:.9g}") if np.isfinite(value) else None


def _write_npy(path: str, array: Any) -> None:
    data = io.BytesIO()
    np.save(data, array)
    _write(path, data.getvalue())
    complain(f"wrote {path}: {array.shape} float32, one row for each image that was read, in order")


def _write_picture(path: str, pixels: Any) -> None:
    from PIL import Image

    data = io.BytesIO()
    kind = Image.registered_extensions().get(os.path.splitext(path)[1].lower())
    if kind not in Image.SAVE:
        raise ImageError(f"{path}: pictures are written as .png, .jpg and the like; give such a name")
    try:
        Image.fromarray(pixels).save(data, kind)
    except (OSError, ValueError, KeyError) as error:
        raise ImageError(f"{path}: this picture cannot be written as {kind}: {error}; give a .png") from error
    _write(path, data.getvalue())


def _write(path: str, data: bytes) -> None:
    with replacing(path) as file:
        file.write(data)
