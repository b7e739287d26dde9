"""Images as tables and data sets hold them: Hugging Face's `{"bytes": ..., "path": ...}`, and pyarrow's scalars.

{"bytes": b"...", "path": "dog.jpg"}    the bytes, called by the path       datasets.Image(decode=False)
{"bytes": None, "path": "dog.jpg"}      the file
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from npresnet.errors import ImageError

KEYS = {"bytes", "path"}
_BUFFERS = (bytes, bytearray, memoryview)


def unwrapped(source: Any) -> Any:
    """The bytes or the path in such a source; any other source as it is.

    Raises ImageError for a dict with neither, or with other keys.
    """
    if is_scalar(source):
        source = source.as_py()
    if not isinstance(source, Mapping):
        return source
    content, path = source.get("bytes"), source.get("path")
    if isinstance(content, _BUFFERS):
        return content
    if content is None and isinstance(path, (str, os.PathLike)):
        return path
    if source.keys() <= KEYS and source and content is None and path is None:
        raise ImageError("an image cannot be read from a dict whose bytes and path are both empty; leave such rows out")
    some = ", ".join(f"{key!r:.40} ({type(value).__name__})" for key, value in list(source.items())[:6]) or "no keys"
    raise ImageError(
        f"an image cannot be read from a dict with {some}; pass the entry that holds the image, such as row['image'], "
        "or {'bytes': ..., 'path': ...}"
    )


def is_scalar(source: Any) -> bool:
    """Whether this is a value of a pyarrow column."""
    return type(source).__module__.startswith("pyarrow") and hasattr(source, "as_py")


def own(source: Any) -> Any:
    """A dict of the same entries for a dict, which a generator may fill anew for each image; others as they are."""
    return dict(source) if isinstance(source, Mapping) else source


def is_awaiting_a_thread(source: Any) -> bool:
    """Whether any thread may read this source later: nobody changes it meanwhile, and it has no position.

    Of a dict if it is one's `own`.
    """
    if isinstance(source, Mapping):
        return not isinstance(source.get("bytes"), (bytearray, memoryview))
    return isinstance(source, (str, os.PathLike, bytes)) or is_scalar(source)


def path_of(source: Any) -> str | os.PathLike[str] | None:
    """Where an image came from: the path itself, or that of a dict, a file object or a PIL image; else None."""
    if isinstance(source, (str, os.PathLike)):
        return source
    if is_scalar(source):
        return path_of(source.as_py())
    if isinstance(source, _BUFFERS) or hasattr(source, "__array__"):
        return None
    if isinstance(source, Mapping):
        path = source.get("path")
        return path if isinstance(path, (str, os.PathLike)) else path_of(source.get("bytes"))
    found = getattr(source, "filename", None) or getattr(source, "name", None)  # of a PIL image; of a file object
    return found if isinstance(found, str) and found else None
