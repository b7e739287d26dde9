"""`npresnet embed` and `npresnet cam`: features and class activation maps of images."""

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
from npresnet.system.signals import raise_signals
from npresnet.system.text import visible

MIN_SIDE = 224  # minimum size of written images, in pixels


def embed(args: Namespace) -> int:
    """Print the pooled features of each image as JSON, or write them to one .npy file, one row per image."""
    paths = ImagePaths(args.images)
    with model_of(args) as model:
        if model.network.takes_clips:
            paths.as_clips()
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
        rows = [
            {"path": visible(path), "embedding": [_short(value) for value in embedding]} for path, embedding in records
        ]
        print(json.dumps(rows))
    return FAILED if paths.failures or not records else FINE


def cam(args: Namespace) -> int:
    """Write the preprocessed image blended with a class activation map."""
    from npresnet import images
    from npresnet.views import overlay

    with model_of(args) as model:
        prediction = model.predict(args.image, top=1)
        index = prediction.index if args.index is None else args.index
        heat = model.cam(args.image, index)  # (H, W)
        how, limit = model.config["preprocess"].value, args.max_pixels
        picture = images.cropped(args.image, how, max_pixels=limit)  # (H, W, 3)
        label = visible(model.labels[index]) if model.labels else str(index)
        score = prediction.probabilities[index]
    _write_picture(args.output, _enlarged(overlay.cam(picture, heat)))
    complain(f"wrote {visible(args.output)}: where {visible(args.image)} looks like {label} (probability {score:.2%})")
    return FINE


def _enlarged(pixels: Any) -> Any:
    """(H, W, 3) with pixels of small images (CIFAR's 32x32) repeated."""
    times = max(1, MIN_SIDE // max(pixels.shape[:2]))
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def _short(value: Any) -> float | None:
    """A float32 with nine digits, which identify it uniquely; None for NaN, which JSON lacks."""
    return float(f"{value:.9g}") if np.isfinite(value) else None


def _write_npy(path: str, array: Any) -> None:
    data = io.BytesIO()
    np.save(data, array)
    _write(path, data.getvalue())
    complain(f"wrote {path}: {array.shape} float32, one row per image that was read, in order")


def _write_picture(path: str, pixels: Any) -> None:
    from PIL import Image

    data = io.BytesIO()
    kind = Image.registered_extensions().get(os.path.splitext(path)[1].lower())
    if kind not in Image.SAVE:
        raise ImageError(f"{path}: unsupported extension for an image; use .png, .jpg or similar")
    try:
        Image.fromarray(pixels).save(data, kind)
    except (OSError, ValueError, KeyError) as error:
        raise_signals(error)
        raise ImageError(f"{path}: this image cannot be written as {kind}: {error}; use .png") from error
    _write(path, data.getvalue())


def _write(path: str, data: bytes) -> None:
    with replacing(path) as file:
        file.write(data)
