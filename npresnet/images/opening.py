"""Open a picture's file: its format and size are known then, and nothing is decoded yet."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, UnsupportedOperation
from typing import TYPE_CHECKING, Any

from npresnet.errors import ImageError
from npresnet.images.limits import check_file
from npresnet.images.messages import name_of, reason
from npresnet.images.reach import may_list
from npresnet.images.scans import check_scans

if TYPE_CHECKING:
    from PIL import Image

# Pillow passes EPS files to Ghostscript, which executes the program in them.
_REFUSED_FORMATS = {"EPS"}


@contextmanager
def opened(source: Any, max_pixels: int | None, name: str) -> Iterator[Image.Image]:
    """The picture of a path, of bytes or of a binary file object, open until the block ends; messages call it `name`.

    Raises ImageError for a refused format and for more pixels than `limits.check_file` allows, before decoding.
    """
    if isinstance(source, (str, os.PathLike)):
        source = os.fspath(source)
        check_path(source)
        with _open(source, max_pixels) as image:
            yield _checked(image, max_pixels, name)
    else:  # the caller's file remains open
        file = BytesIO(source) if isinstance(source, (bytes, bytearray, memoryview)) else _seekable(source)
        yield _checked(_open_file(file, max_pixels, name), max_pixels, name)


def _seekable(file: Any) -> Any:
    """A file object, or what is left of one that cannot go back to its start, as that of a download."""
    try:
        file.seek(0)
    except (AttributeError, UnsupportedOperation):
        return BytesIO(file.read())
    return file


def _open_file(file: Any, max_pixels: int | None, name: str) -> Any:
    """As `_open`. Raises ImageError, with what the file holds instead, which is gone from the caller's."""
    from PIL import UnidentifiedImageError

    try:
        return _open(file, max_pixels)
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} {reason(error, file)}") from error


def check_path(path: str) -> None:
    """Raise ImageError for a folder, a pipe and a device, OSError where there is nothing."""
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        if not may_list(path):
            raise ImageError(f"{name_of(path)} is a folder that this user may not list; check its permissions")
        raise ImageError(f"{name_of(path)} is a folder, not an image; model.stream(folder) classifies the files in it")
    if not stat.S_ISREG(found.st_mode):
        raise ImageError(
            f"{name_of(path)} is a pipe or device, not a file; save it to one, or pass its bytes (on the command line: "
            "- < it)"
        )


def _checked(image: Image.Image, max_pixels: int | None, name: str) -> Image.Image:
    if image.format in _REFUSED_FORMATS:
        raise ImageError(f"{name} is {image.format}, an executable program rather than pixels; convert it to PNG")
    check_file(image.size, max_pixels, name)
    check_scans(image, name)
    return image


def _open(file: Any, max_pixels: int | None) -> Any:
    from PIL import Image, UnidentifiedImageError

    if max_pixels is not None and Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        return _open_larger(file)
    try:
        return Image.open(file)  # a path: Pillow then imports only the format of its extension, not five (6 ms)
    except UnidentifiedImageError:
        if not _register_heif(file):
            raise
        return Image.open(file)


def _register_heif(file: Any) -> bool:
    """Have Pillow read HEIC, and AVIF where it cannot, by pillow-heif. False for other files, or without that."""
    from npresnet.images.messages import first_bytes, is_heif

    if not is_heif(first_bytes(file)):
        return False
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    getattr(pillow_heif, "register_avif_opener", lambda: None)()  # of its versions before 1.0
    if hasattr(file, "seek"):
        file.seek(0)
    return True


def _open_larger(file: Any) -> Any:
    """As `Image.open`, for a caller who allows more pixels than Pillow does: its limit is one of the whole process.

    Pillow's registry of formats is asked in the same order; larger files neither warn nor raise. Some formats, as TIFF,
    are checked again while they are decoded: there twice Pillow's limit stands.
    """
    from PIL import Image, UnidentifiedImageError

    owned = isinstance(file, str)
    stream = open(file, "rb") if owned else file  # noqa: SIM115 - closed by the image, or below
    try:
        for register in (Image.preinit, Image.init, lambda: _register_heif(stream)):
            register()
            for name in Image.ID:
                image = None if name in _REFUSED_FORMATS else _as(name, stream, file if owned else "")
                if image is not None:
                    image._exclusive_fp = owned  # closed with the image
                    return image
        raise UnidentifiedImageError(f"cannot identify image file {file!r:.200}")
    except BaseException:
        if owned:
            stream.close()
        raise


def _as(name: str, stream: Any, filename: str) -> Any:
    """The picture as this format, or None."""
    import struct

    from PIL import Image

    factory, accepts = Image.OPEN[name]
    stream.seek(0)
    try:
        found = accepts(stream.read(16)) if accepts else True
        if not found or isinstance(found, str):
            return None
        stream.seek(0)
        return factory(stream, filename)
    except (SyntaxError, IndexError, TypeError, struct.error):  # Pillow's signs for another format
        return None
