"""Resolve paths, folders and glob patterns to image files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from os import PathLike

from npresnet.errors import ImageError

# Extensions of image files in folders. A file given by its own path may have any name.
EXTENSIONS = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".avif",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".tga", ".heic", ".heif",
})  # fmt: skip

Path = str | PathLike[str]


def find(paths: Path | Iterable[Path]) -> list[str]:
    """The image files that paths refer to, in the order given.

    paths  one path or several:
           - a file: itself, whatever its name, even if it looks like a pattern
           - a folder: its image files, sorted by name, without hidden files and subfolders
           - a pattern (`*`, `?`, `[a-z]`, `**` for any depth): its matches as in a shell, sorted

    Raises ImageError for a path that does not exist, and for a folder or pattern without images.
    """
    if isinstance(paths, (str, PathLike)):
        paths = [paths]
    return [file for path in paths for file in _find_one(_text(path))]


def _find_one(path: str) -> list[str]:
    if os.path.isdir(path):
        return _in_folder(path) or _refuse_folder(path)
    if os.path.exists(path):
        return [path]
    if glob.has_magic(path):
        return _matches(path) or _refuse_pattern(path)
    raise ImageError(f"no such file or folder: {path!r}; check the spelling and the current directory")


def _in_folder(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if _is_image_name(entry.name) and entry.is_file()]
    except OSError as error:
        raise ImageError(f"the folder {folder!r} cannot be listed: {error.strerror or error}") from error
    return [os.path.join(folder, name) for name in sorted(names)]


def _is_image_name(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def _matches(pattern: str) -> list[str]:
    """Matches of a pattern without duplicates: with `**`, a folder and the files in it both match."""
    files = [
        file
        for match in sorted(glob.glob(pattern, recursive=True))
        for file in (_in_folder(match) if os.path.isdir(match) else [match])
    ]
    return list(dict.fromkeys(files))


def _refuse_folder(folder: str) -> list[str]:
    raise ImageError(
        f"the folder {folder!r} holds no image files ({' '.join(sorted(EXTENSIONS))}). For images in subfolders pass "
        f"a pattern: {os.path.join(folder, '**', '*.jpg')!r}; for other files their own paths"
    )


def _refuse_pattern(pattern: str) -> list[str]:
    raise ImageError(f"the pattern {pattern!r} matches no file; check the spelling and the current directory")


def _text(path: Path) -> str:
    try:
        text = os.fspath(path)
    except TypeError:
        text = None
    if not isinstance(text, str) or not text or "\0" in text:
        raise ImageError(f"{path!r} is not a path; pass a file, a folder or a pattern such as 'photos/*.jpg'")
    return text
