"""One worker of `predict`: pictures of a chunk are fetched ahead, decoded and classified; one row each."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from npresnet.errors import ImageError, NpresnetError
from npresnet.images.messages import name_of
from npresnet.model.model import Model
from npresnet.model.records import record
from npresnet.ray.cluster import agreed
from npresnet.ray.sources import Picture, UnreadError, opener, unreadable
from npresnet.ray.table import table
from npresnet.ray.weights import Weights, opened
from npresnet.system.text import visible

READERS = 16  # threads that wait for storage: at 50 ms a file, 320 files/s


class Worker:
    """The actor. It is made without work, so that an error of `open` is one of a call, with its type."""

    def __init__(self, weights: Weights, filesystems: Sequence[Any], top: int, batch_size: int, options: Any):
        self._weights, self._options = weights, options
        self._readers = [opener(filesystem) for filesystem in filesystems]
        self._top, self._batch_size = top, batch_size
        self._model: Model | None = None

    def open(self) -> int:
        """Load the model; returns the process's id. Raises the errors of `load`."""
        _allow_pixels(self._options.get("max_pixels"))
        self._model = opened(self._weights, **agreed(self._options))
        return os.getpid()

    def run(self, which: int, pictures: Sequence[Picture]) -> Any:
        """A table with a row for each picture of file system number `which`, in order."""
        assert self._model is not None
        return table(classified(self._model, pictures, self._readers[which], self._top, self._batch_size))


def classified(
    model: Model, pictures: Sequence[Picture], read: Callable[[str], bytes], top: int, batch_size: int
) -> list[dict[str, Any]]:
    """The record of each picture, in order; one that cannot be fetched or decoded has an error, the former "unread"."""
    rows: list[dict[str, Any]] = [{} for _ in pictures]
    taken: deque[int] = deque()  # positions of what the model has taken, which it gives back in order

    def fetched() -> Iterator[bytes]:
        for position, found in enumerate(ahead(pictures, read, 2 * batch_size)):
            if isinstance(found, ImageError):
                rows[position] = {**record(pictures[position].shown, found), "unread": isinstance(found, UnreadError)}
            else:
                taken.append(position)
                yield found

    for content, result in model.stream(fetched(), top=top, batch_size=batch_size):
        position = taken.popleft()
        shown = pictures[position].shown
        rows[position] = record(shown, _named(result, content, shown) if isinstance(result, ImageError) else result)
    return rows


def ahead(pictures: Sequence[Picture], read: Callable[[str], bytes], count: int) -> Iterator[bytes | ImageError]:
    """The bytes of each picture, or its error; `count` are under way while the caller computes."""

    def fetch(picture: Picture) -> bytes | ImageError:
        try:
            return read(picture.path)
        except Exception as error:  # file systems of fsspec raise their own
            return error if isinstance(error, ImageError) else unreadable(picture, error)

    with ThreadPoolExecutor(READERS, "npresnet-fetch") as pool:
        waiting: deque[Future[bytes | ImageError]] = deque()
        for picture in pictures:
            waiting.append(pool.submit(fetch, picture))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _named(error: ImageError, content: bytes, shown: str) -> NpresnetError:
    """The error with the picture's name, where npresnet knew its bytes alone."""
    return ImageError(str(error).replace(name_of(content), visible(shown), 1))


def _allow_pixels(max_pixels: int | None) -> None:
    """Pillow checks some formats again while it decodes them; here the process is our own."""
    from PIL import Image

    if max_pixels is not None and Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)
