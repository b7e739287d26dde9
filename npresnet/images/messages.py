"""Messages of ImageError: which image, the reason, and the way out."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from io import TextIOBase
from typing import Any

from npresnet.images.encoded import START, encoded_as
from npresnet.images.limits import WAY_OUT
from npresnet.images.reach import unreachable
from npresnet.images.wrapped import is_scalar, path_of, unwrapped
from npresnet.system.memory import is_memory_error
from npresnet.system.text import visible

# First bytes of other file types, and advice.
_FOREIGN = (
    (b"<!doctype html", "an HTML page, perhaps the error page of a failed download; download the image itself"),
    (b"<html", "an HTML page, perhaps the error page of a failed download; download the image itself"),
    (b"version https://git-lfs", "a Git LFS pointer, not the image; run `git lfs pull`"),
    (b"<svg", "an SVG drawing; convert it to PNG"),
    (b"<?xml", "XML, perhaps an SVG drawing; convert it to PNG"),
    (b"%pdf", "a PDF; convert its pages to PNG"),
    (b"\x93numpy", "a NumPy file; pass the array: numpy.load(path)"),
    (b"pk\x03\x04", "a zip archive; unpack it first"),
)
# Brands of HEIC, HEIF sequences and AVIF: ISO/IEC 23008-12, annexes B to E.
_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1", b"avif", b"avis"}
MAX_NAME = 300  # characters of a name in a message; the longest file name is 255


def name_of(source: Any) -> str:
    """A name of the image for messages."""
    from PIL import Image

    if isinstance(source, Mapping) or is_scalar(source):
        source = path_of(source) or unwrapped(source)
    if isinstance(source, (str, os.PathLike)):
        return visible(shortened(os.fsdecode(source))) or "''"
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"the image in {len(source)} bytes" if len(source) else "the image"
    file = getattr(source, "filename", None) or getattr(source, "name", None)  # of a PIL image; of a file object
    if isinstance(file, str) and file:
        return visible(shortened(file))
    if isinstance(source, Image.Image):
        return f"the PIL image of mode {source.mode}, {source.width}x{source.height},"
    return "the file object" if hasattr(source, "read") else "the image"


def shortened(text: str) -> str:
    """A text that may be an image, or an attack, rather than a name: its beginning and its length."""
    return text if len(text) <= MAX_NAME else f"{text[:60]}... ({len(text):,} characters)"


def not_a_path(text: str) -> str:
    """What a text that is no path holds instead, with advice; "" for what may be one."""
    start = text[:64].lower().encode("utf-8", "replace")
    if start.startswith((b"http://", b"https://", b"ftp://")):
        return "a URL, not a file; download it first"
    if start.startswith(b"file://"):
        return "a URL; pass the path alone, without file://"
    if start.startswith((b"s3://", b"gs://", b"hdfs://")):
        return "a URL, not a file; download it first, or classify it where it lies: npresnet predict --ray"
    return encoded_as(text[:START].encode("utf-8", "replace"))


def reason(error: Exception, source: Any) -> str:
    """The message for an exception raised while reading `source`."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(source, TextIOBase):
        return "was opened as text; open it with mode 'rb', or pass its path"
    if _was_closed(error, source):
        return "was closed before it was read; read it first, inside the `with` block, or pass its path"
    instead = not_a_path(source) if isinstance(source, str) and isinstance(error, (OSError, ValueError)) else ""
    if instead:
        return f"is {instead}"
    if isinstance(error, OSError) and isinstance(source, (str, os.PathLike)) and os.path.islink(source):
        if isinstance(error, FileNotFoundError):
            return f"is a link to {visible(shortened(os.readlink(os.fsdecode(source))))}, which does not exist"
        if error.errno == errno.ELOOP:
            return "cannot be read: it is one of several symbolic links that lead in a circle"
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return "cannot be read: it is too long for a path; pass an image's bytes as bytes, not as text"
    if isinstance(error, FileNotFoundError):
        return "does not exist; check the spelling and the current directory"
    if isinstance(error, NotADirectoryError):
        return "does not exist: a part of its path is a file, not a folder"
    if isinstance(error, PermissionError):
        closed = unreachable(os.fsdecode(source)) if isinstance(source, (str, os.PathLike)) else ""
        return closed or "is not readable by this user; check the permissions of the file"
    if isinstance(error, UnidentifiedImageError):
        return _unidentified(source)
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return (
            f"has more pixels than Pillow's limit, PIL.Image.MAX_IMAGE_PIXELS ({error}); {WAY_OUT}. If max_pixels "
            "allows it, Pillow checks this format again: raise its limit as well"
        )
    if is_memory_error(error):
        return "does not fit into memory; shrink it first"
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return "cannot be opened: too many files are open already; close some, or raise the limit (ulimit -n)"
    detail = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    detail = visible(shortened(" ".join(detail.split())))  # libheif's end in a line end
    return f"cannot be read: truncated, damaged or not supported by Pillow ({detail}); try to open it in a viewer"


def _was_closed(error: Exception, source: Any) -> bool:
    """Whether a file or a picture was closed; Pillow's pictures then have no file, and say so in several ways."""
    if isinstance(error, (AssertionError, AttributeError)):
        return hasattr(source, "fp") and source.fp is None
    return isinstance(error, ValueError) and bool(re.search(r"\bclosed (file|image)", str(error)))


def _unidentified(source: Any) -> str:
    import PIL

    start = first_bytes(source)
    if not start:
        return "is empty (0 bytes)"
    instead = foreign(start)
    if instead:
        return f"is {instead}"
    if is_heif(start) and "HEIF" in PIL.Image.OPEN:
        return "is HEIC or AVIF, but pillow-heif cannot read it: truncated, damaged or of a kind that it does not know"
    if is_heif(start):
        return (
            "is HEIC or AVIF, which this Pillow cannot read; npresnet uses pillow-heif where it is installed: "
            "python -m pip install pillow-heif, or convert the image to JPEG"
        )
    return f"is not an image that Pillow {PIL.__version__} can read (it begins with {bytes(start[:12])!r})"


def foreign(start: bytes) -> str:
    """What a file that begins so is instead of an image, with advice; "" where that is not known."""
    text = start.lstrip().lower()
    return next((advice for sign, advice in _FOREIGN if text.startswith(sign)), "") or encoded_as(start)


def is_heif(start: bytes) -> bool:
    """Whether a file that begins so is HEIC or AVIF, by the brands of its first box."""
    return start[4:8] == b"ftyp" and any(start[place : place + 4] in _HEIF for place in (8, *range(16, 40, 4)))


def first_bytes(source: Any, count: int = START) -> bytes:
    """Of bytes, a file object or a path; b"?" where they cannot be read."""
    try:
        if isinstance(source, (bytes, bytearray, memoryview)):
            return bytes(source[:count])
        if hasattr(source, "seek"):
            source.seek(0)
            return bytes(source.read(count))
        with open(source, "rb") as file:
            return file.read(count)
    except (OSError, TypeError, ValueError):
        return b"?"
