"""Resolve paths, folders and glob patterns to image files."""

from __future__ import annotations

import glob
import os
import pathlib
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from os import PathLike

from npresnet.errors import ImageError
from npresnet.images.messages import not_a_path, shortened
from npresnet.images.reach import may_list, unreachable

# Extensions of image files in folders. A file given by its own path may have any name.
EXTENSIONS = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".avif",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".tga", ".heic", ".heif",
})  # fmt: skip

Path = str | PathLike[str]


def find(paths: Path | Iterable[Path], *, recursive: bool = False) -> list[str]:
    """The image files that paths refer to, in the order given.

    paths      one path or several:
               - a file: itself, whatever its name, even if it looks like a pattern
               - a folder: its image files, sorted by name, without hidden files and subfolders
               - a pattern (`*`, `?`, `[a-z]`, `**` for any depth): its matches as in a shell, sorted
    recursive  of a folder (also one that a pattern matches) the files in the folders below it, too: a folder's own
               files first, then those of each folder in it, sorted by name. Links to folders are followed, except into
               a folder that the link lies in, or behind another link into one that was met before. Of a folder below
               that cannot be listed its own path is given, so that reading it raises the error at its place

    A link that leads nowhere or in a circle is found as well, for the same reason. Raises ImageError for a path that
    does not exist, and for a folder or pattern without images.
    """
    if isinstance(paths, (str, PathLike)):
        paths = [paths]
    return [file for path in paths for file in _find_one(_text(path), recursive)]


def _find_one(path: str, recursive: bool) -> list[str]:
    if os.path.isdir(path):
        return _in_folder(path, recursive) or _refuse_folder(path, recursive)
    if os.path.exists(path):
        return [path]
    instead = not_a_path(path)
    if instead:
        raise ImageError(f"{shortened(path)!r} is {instead}")
    if glob.has_magic(path):
        return _matches(path, recursive) or _refuse_pattern(path)
    closed = unreachable(path)
    if closed:
        raise ImageError(f"{shortened(path)!r} {closed}")
    link = f", a link to {os.readlink(path)!r}" if os.path.islink(path) else ""
    raise ImageError(f"no such file or folder: {shortened(path)!r}{link}; check the spelling and the current directory")


def _in_folder(folder: str, recursive: bool = False) -> list[str]:
    """Raises ImageError where the folder itself cannot be listed."""
    found = _listed(folder)
    for below in islice(_folders(folder), 1, None) if recursive else ():
        try:
            found += _listed(below)
        except ImageError:
            found.append(below)
    return found


def _listed(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if _is_image_name(entry.name) and _is_file(entry)]
    except OSError as error:
        raise ImageError(f"the folder {folder!r} cannot be listed: {error.strerror or error}") from error
    return [os.path.join(folder, name) for name in sorted(names)]


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Also a link that leads nowhere, in a circle or into a closed folder: reading it raises the error at its place."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True


def _is_image_name(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def _matches(pattern: str, recursive: bool) -> list[str]:
    """Matches of a pattern without duplicates: with `**`, a folder and the files in it both match.

    A folder that cannot be listed is itself one: reading it raises the error at its place.
    """
    files: dict[str, None] = {}
    for match in sorted(_expanded(pattern)):
        try:
            files.update(dict.fromkeys(_in_folder(match, recursive) if os.path.isdir(match) else [match]))
        except ImageError:
            files[match] = None
    return list(files)


def _expanded(pattern: str) -> set[str]:
    """The paths that match; `**` stands for folders of any depth, also behind links."""
    head, deep, tail = _at_any_depth(pattern)
    if not deep:
        return set(glob.glob(pattern))
    found: set[str] = set()
    for base in glob.glob(head) if glob.has_magic(head) else [head]:
        for folder in _folders(base) if os.path.isdir(base or os.curdir) else ():
            if not may_list(folder):
                found.add(folder)
            inside = os.path.join(glob.escape(folder), tail)
            found.update(_expanded(inside) if tail else [folder])
            if not tail and pattern.endswith("**"):  # not **/, which is folders alone
                found.update(glob.glob(os.path.join(inside, "*")))
    return found - {""}


def _at_any_depth(pattern: str) -> tuple[str, bool, str]:
    """The pattern before and after its first `**`, and whether there is one."""
    found = re.search(r"(?:^|(?<=[/\\]))\*\*(?:[/\\]+|$)" if os.name == "nt" else r"(?:^|(?<=/))\*\*(?:/+|$)", pattern)
    return (pattern, False, "") if found is None else (pattern[: found.start()], True, pattern[found.end() :])


def _folders(base: str) -> Iterator[str]:
    """A folder and those below it that are not hidden, by depth first; a link to a folder that it lies in is left out.

    Those that cannot be listed are among them. Behind two links or more a folder that was met before is left out: where
    each of n folders has links to all others, there are more than n! paths.

    links  how many the path to a folder takes
    """
    waiting = [(base, parents_of(base), 0)]
    met: set[tuple[int, int]] = set()
    while waiting:  # rather than recursion: folders may be deeper than Python's stack
        folder, above, links = waiting.pop()  # above: (device, inode) of the folders that it lies in
        below: list[tuple[str, bool]] = []
        try:
            found = os.stat(folder or os.curdir)
            here = (found.st_dev, found.st_ino)
            if here in above or (links > 1 and here in met):
                continue
            above |= {here}
            met.add(here)
            with os.scandir(folder or os.curdir) as entries:
                seen = [entry for entry in entries if not entry.name.startswith(".") and _is_folder(entry)]
            below = sorted((entry.name, entry.is_symlink()) for entry in seen)
        except OSError:
            pass
        yield folder
        waiting += [(os.path.join(folder, name), above, links + is_link) for name, is_link in reversed(below)]


def parents_of(folder: str) -> frozenset[tuple[int, int]]:
    """(device, inode) of the folders that this one lies in."""
    found: set[tuple[int, int]] = set()
    with suppress(FileNotFoundError):  # of a deleted current folder, which lies in none
        folder = os.path.realpath(folder or os.curdir)
    for parent in pathlib.Path(folder).parents:
        with suppress(OSError):
            status = os.stat(parent)
            found.add((status.st_dev, status.st_ino))
    return frozenset(found)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _refuse_folder(folder: str, recursive: bool) -> list[str]:
    deeper = (
        "nor do the folders below it" if recursive else "for images in folders below it use recursive (--recursive)"
    )
    raise ImageError(
        f"the folder {folder!r} holds no image files ({' '.join(sorted(EXTENSIONS))}); {deeper}; for files of other "
        "names pass their own paths"
    )


def _refuse_pattern(pattern: str) -> list[str]:
    for folder in sorted(_closed_above(pattern)):
        why = unreachable(folder) or "may not be listed by this user; check its permissions"
        raise ImageError(f"the pattern {shortened(pattern)!r} matches no file; the folder {shortened(folder)!r} {why}")
    raise ImageError(
        f"the pattern {shortened(pattern)!r} matches no file; check the spelling and the current directory"
    )


def _closed_above(pattern: str) -> set[str]:
    """The folders in which a pattern could match, were they not closed to this user; below `**` they are matches."""
    before, deep, _ = _at_any_depth(pattern)
    head = os.path.dirname(before if deep else pattern)
    found = _expanded(head) if glob.has_magic(head) else {head}
    closed = {folder for folder in found if unreachable(folder) or (os.path.isdir(folder) and not may_list(folder))}
    return closed or (_closed_above(head) if glob.has_magic(head) else set())


def _text(path: Path) -> str:
    try:
        text = os.fspath(path)
    except TypeError:
        text = None
    if not isinstance(text, str) or not text or "\0" in text:
        raise ImageError(f"{path!r} is not a path; pass a file, a folder or a pattern such as 'photos/*.jpg'")
    return text
