"""What a model's network takes: images, or clips of frames. Which arguments are one of them, and how it is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from npresnet import images
from npresnet.errors import ImageError
from npresnet.images import Preprocess
from npresnet.images.arrays import in_rgb_order
from npresnet.model.inputs import is_one_image, sources_in

Array = NDArray[Any]

if TYPE_CHECKING:  # what type checkers know of one image; anything else that can be iterated is several
    from PIL import Image

    OneImage = (
        str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Image.Image | Mapping[str, Any]
        | NDArray[np.uint8] | NDArray[np.floating[Any]]
    )  # fmt: skip


class Sources(Protocol):
    """The two kinds.

    word  for messages
    axes  of a batch
    """

    word: str
    axes: str

    def is_one(self, source: Any) -> bool:
        """Whether this is one of them rather than an iterable of several. Raises ImageError where it is neither."""

    def several(self, paths: Any) -> Iterable[Any]:
        """The sources that `stream` reads."""

    def preprocess(self, source: Any, how: Preprocess, max_pixels: int | None) -> Array:
        """The network's input for one."""

    def in_rgb_order(self, source: Any) -> Any:
        """One whose arrays have their channels in the order blue, green, red. Raises ImageError for other sources."""


class Images:
    """(N, C, H, W)."""

    word = "image"
    axes = "N, C, H, W"

    def is_one(self, source: Any) -> bool:
        return is_one_image(source)

    def several(self, paths: Any) -> Iterable[Any]:
        return sources_in(paths)

    def preprocess(self, source: Any, how: Preprocess, max_pixels: int | None) -> Array:
        return images.preprocess(source, how, max_pixels=max_pixels)

    def in_rgb_order(self, source: Any) -> Any:
        return in_rgb_order(source)


class Clips:
    """(N, C, T, H, W): a list of frames is one clip, a list of clips several."""

    word = "clip"
    axes = "N, C, T, H, W"

    def is_one(self, source: Any) -> bool:
        """A folder, a pattern, an array, or a list of frames; a list of clips, and any other iterable, are several."""
        from npresnet.images.clips import is_frame

        if not isinstance(source, (list, tuple)):
            return is_one_image(source)
        frames = [is_frame(item) for item in source]
        if any(frames) and not all(frames):
            kinds = ["a frame" if frame else "a clip" for frame in frames[:8]]
            raise ImageError(f"a list must hold the frames of one clip, or clips, but this one has {', '.join(kinds)}")
        return all(frames) and bool(frames)

    def several(self, paths: Any) -> Iterable[Any]:
        """The clips of an iterable, or the one clip that `paths` is."""
        if isinstance(paths, (str, os.PathLike)) or self.is_one(paths):
            return [paths]
        clips: Iterable[Any] = paths
        return clips

    def preprocess(self, source: Any, how: Preprocess, max_pixels: int | None) -> Array:
        from npresnet.images.clips import preprocess_clip

        return preprocess_clip(source, how, max_pixels=max_pixels)

    def in_rgb_order(self, source: Any) -> Any:
        from npresnet.images.clips import frames_of

        if isinstance(source, (str, os.PathLike)):
            return in_rgb_order(source)  # raises
        return [in_rgb_order(frame) for frame in frames_of(source)]


def sources_of(takes_clips: bool) -> Sources:
    """What a network takes: see `Network.takes_clips`."""
    return Clips() if takes_clips else Images()
