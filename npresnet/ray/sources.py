"""Which pictures a SOURCE means, on any file system of pyarrow's, and their bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from npresnet import images
from npresnet.errors import ImageError
from npresnet.images.finding import EXTENSIONS
from npresnet.images.messages import name_of, reason, shortened
from npresnet.images.opening import check_path
from npresnet.ray.addresses import ADDRESS, opened, without_password
from npresnet.ray.cluster import arrow


class Picture(NamedTuple):
    """A picture file.

    shown  as in the output: a local path as it was given, else the whole address
    path   in its file system
    """

    shown: str
    path: str


class Pictures(NamedTuple):
    """Picture files of one file system of pyarrow's; None: of this machine's, with the names that Python has."""

    filesystem: Any
    files: list[Picture]


class UnreadError(ImageError):
    """The storage did not give a picture's bytes: a resumed run asks again."""


def resolve(source: str | os.PathLike[str], *, filesystem: Any = None, recursive: bool = False) -> Pictures:
    """The picture files of a file, a folder or a pattern.

    source      a local path, or the address of anything pyarrow reads: file://, s3://bucket/photos, gs://, hdfs://;
                their options follow a ? (s3://bucket/photos?region=eu-central-1)
    filesystem  a pyarrow.fs.FileSystem in which `source` is a path
    recursive   with the folders inside a folder. In a pattern, * and [a-z] stand for characters of one name, ** for
                folders of any depth

    In a folder, files with the endings of pictures; a file that is named, or that a pattern matches, may have any.
    Hidden ones are left out. Sorted, none twice. Raises ImageError where there is none, or the file system does not
    answer.
    """
    text = os.fspath(source)
    if filesystem is not None:
        return Pictures(filesystem, [Picture(path, path) for path in _listed(filesystem, text, recursive, text)])
    if not ADDRESS.match(text):
        found = images.find(text, recursive=recursive)
        return Pictures(None, [Picture(path, os.path.abspath(path)) for path in dict.fromkeys(found)])
    plain, mark, options = text.partition("?")
    base, pattern = _split(plain)
    filesystem, root = _opened(base + mark + options, text)
    whole = f"{root.rstrip('/')}/{pattern}" if pattern else root
    parts = urlsplit(base)
    front = f"{parts.scheme}://{parts.netloc if root.startswith('/') else ''}"
    return Pictures(filesystem, [Picture(front + path, path) for path in _listed(filesystem, whole, recursive, text)])


def opener(filesystem: Any) -> Callable[[str], bytes]:
    """The function that reads a file of this file system. It raises OSError, ImageError, and what fsspec's raise."""
    if filesystem is None:
        return _read_local

    def read(path: str) -> bytes:
        with filesystem.open_input_stream(path, compression=None) as stream:
            found: bytes = stream.read()
        return found

    return read


def unreadable(picture: Picture, error: Exception) -> UnreadError:
    """The error of a picture whose bytes could not be had."""
    if isinstance(error, OSError) and error.errno:
        return UnreadError(f"{name_of(picture.shown)} {reason(error, picture.shown)}")
    return UnreadError(
        f"{name_of(picture.shown)} could not be fetched: {_told(error)}. --resume (resume=True) tries it again"
    )


def _read_local(path: str) -> bytes:
    check_path(path)  # a pipe without a writer would be waited for
    with open(path, "rb") as file:
        return file.read()


def _opened(address: str, text: str) -> tuple[Any, str]:
    try:
        return opened(address)
    except (ValueError, OSError) as error:
        raise ImageError(_refused(text, error)) from error


def _quoted(text: str) -> str:
    return repr(shortened(without_password(text)))


def _told(error: Exception) -> str:
    return shortened(without_password(" ".join(str(error).split()))).rstrip(".") or type(error).__name__


def _refused(text: str, error: Exception) -> str:
    return (
        f"{_quoted(text)} cannot be read: {_told(error)}. A source is a "
        "local path, or an address that pyarrow.fs.FileSystem.from_uri opens (file://, s3://, gs://, hdfs://), its "
        "options after a ?; a ? in a name is written %3F"
    )


def _listed(filesystem: Any, path: str, recursive: bool, text: str) -> list[str]:
    """The picture files that a path or pattern means, sorted."""
    fs = arrow().fs
    base, pattern = _split(path)
    matches: Callable[[str], Any] = bool
    try:
        (info,) = filesystem.get_file_info([path])
        if info.type == fs.FileType.File:
            return [path]
        if info.type == fs.FileType.Directory:
            base = path
        elif pattern:
            matches, recursive = _compiled(pattern, text).fullmatch, "/" in pattern or "**" in pattern
        else:
            raise ImageError(f"no such file or folder: {_quoted(text)}; check the spelling")
        found = filesystem.get_file_info(fs.FileSelector(base, allow_not_found=True, recursive=recursive))
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(_refused(text, error)) from error
    start = len(base.rstrip("/")) + 1 if base else 0
    inside = ((file.path[start:], file.path) for file in found if file.type == fs.FileType.File)
    wanted = _is_picture if base == path else _is_visible
    paths = sorted(path for name, path in inside if wanted(name) and matches(name))
    if not paths:
        deeper = "" if recursive else ". Folders inside it are read with recursive=True, or by a pattern with **"
        raise ImageError(f"{_quoted(text)} holds no image files ({' '.join(sorted(EXTENSIONS))}){deeper}")
    return paths


def _is_visible(name: str) -> bool:
    return not any(part.startswith(".") for part in name.split("/"))


def _is_picture(name: str) -> bool:
    return _is_visible(name) and os.path.splitext(name)[1].lower() in EXTENSIONS


def _split(path: str) -> tuple[str, str]:
    """A path before the first part that is a pattern, and the rest; ? is none, for in an address options follow it."""
    parts = path.split("/")
    first = next((place for place, part in enumerate(parts) if "*" in part or "[" in part), len(parts))
    return "/".join(parts[:first]), "/".join(parts[first:])


def _compiled(pattern: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(_expression(pattern))
    except re.error as error:
        raise ImageError(f"the pattern {_quoted(text)} cannot be read: {error}; check its brackets") from None


def _expression(pattern: str) -> str:
    """The regular expression of a pattern: * within a name, ** over folders, [a-z] and [!a-z] one character."""
    made = ""
    for token in re.findall(r"\*\*/|\*\*|\*|\[!?\]?[^\]]*\]|.", pattern, re.DOTALL):
        if token in ("**/", "**", "*"):
            made += {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*"}[token]
        elif len(token) > 2:
            made += (
                "[" + ("^" if token[1] == "!" else "") + re.sub(r"([\\^\[])", r"\\\1", token[1:-1].lstrip("!")) + "]"
            )
        else:
            made += re.escape(token)
    return made
