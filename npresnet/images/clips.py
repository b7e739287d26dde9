"""Clips: frames in the order of time, from a list, a folder or an array, preprocessed as a network's input."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import ImageError
from npresnet.images.finding import find
from npresnet.images.preprocessing import How, normalised, pixels
from npresnet.images.presets import preset
from npresnet.system.settings import quiet

FORMS = "a folder of frames, a list of images, or an array (T, H, W, 3) uint8"


def frames_of(source: Any) -> list[Any]:
    """The frames of a clip, in order.

    source  a folder (its image files, sorted by name) or a pattern such as 'clip/*.jpg'; a list of images of any kind
            that `read` accepts; an array (T, H, W, 3), or (T, H, W) for grey networks

    Raises ImageError for anything else, for one image, and where there are no frames.
    """
    if isinstance(source, (str, os.PathLike)):
        if os.path.isfile(source):
            raise ImageError(f"{os.fspath(source)!r} is one image, but this network takes clips: {FORMS}")
        return list(find(source))
    if isinstance(source, (list, tuple)):
        frames = list(source)
    elif hasattr(source, "__array__") and np.ndim(source) in (1, 4):  # of paths; of pixels
        frames = list(np.asarray(source))
    else:
        got = f"an array of shape {np.shape(source)}" if hasattr(source, "__array__") else type(source).__name__
        raise ImageError(f"this network takes clips: {FORMS}; got {got}")
    if not frames:
        raise ImageError(f"a clip without frames: expected {FORMS}")
    return frames


def is_frame(source: Any) -> bool:
    """Whether an item of a list is one frame, rather than a clip: no list, no folder, no array of four axes."""
    if isinstance(source, (str, os.PathLike)):
        return not os.path.isdir(source)
    return not isinstance(source, (list, tuple)) and not (hasattr(source, "__array__") and np.ndim(source) == 4)


@quiet
def preprocess_clip(source: Any, how: How = "kinetics", *, max_pixels: int | None = None) -> NDArray[np.float32]:
    """A network's input for one clip, (1, C, T, H, W) float32: every frame resized, cropped and normalised alike.

    source      as for `frames_of`
    how         a preset's name, a dict of Preprocess's fields, or a Preprocess
    max_pixels  of a frame, as for `preprocess`

    Raises ImageError, which names the frame; ArchitectureError for an invalid `how`.
    """
    how = preset(how)
    frames = frames_of(source)
    taken = [_frame(frame, number, how, max_pixels) for number, frame in enumerate(frames)]
    _check_sizes(frames, taken)
    return np.concatenate([normalised(frame, how)[:, :, np.newaxis] for frame in taken], axis=2)


def _frame(frame: Any, number: int, how: Any, max_pixels: int | None) -> NDArray[np.uint8]:
    try:
        return pixels(frame, how, max_pixels=max_pixels)
    except ImageError as error:
        if isinstance(frame, (str, os.PathLike)):
            raise  # it names the file
        raise ImageError(f"frame {number} of the clip (the first is 0): {error}") from error


def _check_sizes(frames: Sequence[Any], taken: Sequence[NDArray[np.uint8]]) -> None:
    for number, frame in enumerate(taken):
        if frame.shape != taken[0].shape:
            name = f" ({frames[number]})" if isinstance(frames[number], (str, os.PathLike)) else ""
            raise ImageError(
                f"the frames of a clip must have one size, but after resizing and cropping frame 0 is "
                f"{taken[0].shape[:2]} (height, width), frame {number}{name} {frame.shape[:2]}; with a crop in "
                f"`preprocess` they all have"
            )
