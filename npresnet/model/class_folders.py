"""Labelled images on disk: class folders, as torchvision's ImageFolder reads them, or a CSV of path,label.

Only paths are held, never pictures. What is not used is said in `Samples.notes`: nothing is left out without a word.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike

from npresnet.errors import ImageError
from npresnet.images.finding import EXTENSIONS, parents_of
from npresnet.images.messages import name_of
from npresnet.images.reach import unreachable
from npresnet.model.class_spelling import some_of
from npresnet.model.tables import read_table
from npresnet.system.text import visible

PATH_COLUMNS = (
    *("path", "file", "filename", "file_name", "filepath", "file_path", "image", "img", "image_path", "img_path"),
    *("image_file", "image_name", "paths", "files", "filenames", "filepaths", "images", "name"),
)
LABEL_COLUMNS = (
    *("label", "class", "class_name", "label_name", "category", "target", "ground_truth", "class_index", "y"),
    *("label_id", "class_id", "category_id", "label_index", "class_idx", "label_idx", "labels", "classes"),
    "index",  # may count the rows
    "name",
)
MAC_ARCHIVE = "__MACOSX"  # a zip made on a Mac has it beside what was packed; no picture is in it


@dataclass(frozen=True)
class Samples:
    """Images and the names of their classes.

    where   the folder or file, for messages
    kind    "folders" or "labels": what the names are
    names   every class, sorted as torchvision does; also one without images
    rows    (path, name) of each image
    notes   what was left out, and what may be a mistake
    """

    where: str
    kind: str
    names: list[str]
    rows: list[tuple[str, str]]
    notes: list[str] = field(default_factory=list)


def read_samples(source: str | PathLike[str]) -> Samples:
    """The images of a folder of class folders, or of a CSV file. Raises ImageError."""
    path = os.fspath(source)
    if os.path.isdir(path):
        return _from_folder(path)
    if closed := unreachable(path):
        raise ImageError(f"{name_of(path)} {closed}")
    if not os.path.exists(path):
        raise ImageError(
            f"no such file or folder: {name_of(path)}; expected a folder with a folder a class, or a CSV of path,label"
        )
    if os.path.splitext(path)[1].lower() in EXTENSIONS:
        raise ImageError(
            f"{name_of(path)} is one image, whose class nothing tells; pass a folder with a folder a class, or a CSV "
            "of path,label"
        )
    return _from_table(path)


# --- class folders ---------------------------------------------------------------------------------------------------


def _from_folder(folder: str) -> Samples:
    names, loose = _listed(folder)
    if not names:
        files = f"{_count(len(loose), 'file')}, but no folders" if loose else "no folders"
        raise ImageError(
            f"{name_of(folder)} holds {files}; expected a folder a class, such as "
            f"{os.path.join(visible(folder), 'dog', '1.jpg')}, or pass a CSV of path,label"
        )
    rows: list[tuple[str, str]] = []
    empty: list[str] = []
    ignored = 0
    for name in names:
        found, others = _images_in(os.path.join(folder, name))
        rows += [(file, name) for file in found]
        ignored += others
        if not found:
            empty.append(name)
    if not rows:
        raise ImageError(
            f"{name_of(folder)} holds {_count(len(names), 'folder')} ({some_of(names)}), but no image file "
            "in any of them"
        )
    return Samples(folder, "folders", names, rows, list(_folder_notes(loose, ignored, empty)))


def _listed(folder: str) -> tuple[list[str], list[str]]:
    """The class folders, and what lies beside them: files, links that lead nowhere; hidden entries are neither."""
    try:
        with os.scandir(folder) as entries:
            seen = [(entry.name, _is_folder(entry)) for entry in entries if _is_shown(entry)]
    except OSError as error:
        raise ImageError(f"the folder {name_of(folder)} cannot be listed: {error.strerror or error}") from error
    return sorted(name for name, is_folder in seen if is_folder), sorted(name for name, found in seen if not found)


def _is_shown(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.name != MAC_ARCHIVE


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that loops, or leads into a closed folder
        return False


def _images_in(folder: str) -> tuple[list[str], int]:
    """The image files at any depth, sorted, and how many other files there are; links are followed, circles are not.

    A link to a folder that it lies in is a circle, also to one that holds the classes: their images are of no one
    class. Behind two links or more a folder that was met before is left out: folders that all link to each other have
    more than n! paths. A folder that cannot be listed is itself an image file: reading it raises the error.
    """
    images, others = [], 0
    beside = os.path.join(os.path.dirname(folder), "_")  # the class folder may be a link
    # rather than recursion: folders may be deeper than Python's stack
    waiting = [(folder, True, parents_of(folder) | parents_of(beside), 0)]
    met: set[tuple[int, int]] = set()
    while waiting:
        path, is_folder, above, links = waiting.pop()  # above: (device, inode) of the folders that it lies in
        if not is_folder:
            is_image = os.path.splitext(path)[1].lower() in EXTENSIONS
            images += [path] * is_image
            others += not is_image
            continue
        try:
            found = os.stat(path)
            with os.scandir(path) as entries:
                shown = filter(_is_shown, entries)
                seen = sorted((entry.name, _is_folder(entry), entry.is_symlink()) for entry in shown)
        except OSError:
            images.append(path)
            continue
        here = (found.st_dev, found.st_ino)
        if here not in above and not (links > 1 and here in met):
            met.add(here)
            above |= {here}
            waiting += [(os.path.join(path, name), below, above, links + link) for name, below, link in reversed(seen)]
    return images, others


def _folder_notes(loose: list[str], ignored: int, empty: list[str]) -> Iterator[str]:
    if loose:
        yield f"{_count(len(loose), 'file')} beside the class folders ignored: {some_of(loose)}"
    if ignored:
        yield f"{_count(ignored, 'file')} without the extension of an image ignored"
    if empty:
        yield f"{_count(len(empty), 'class folder')} without images: {some_of(empty)}"


# --- tables ----------------------------------------------------------------------------------------------------------


def _from_table(path: str) -> Samples:
    rows: list[tuple[str, str]] = []
    base = os.path.dirname(path) if os.path.isfile(path) else ""  # what comes through a pipe lies in no folder
    lines: dict[tuple[str, str], int] = {}
    again = []
    first = ""  # as it is written
    for line, (name, label) in read_table(path, "path,label", PATH_COLUMNS, LABEL_COLUMNS):
        row = (name if "://" in name else os.path.join(base, name), label)  # an absolute path stays
        first = first or name
        if row in lines:
            again.append(line)
        lines.setdefault(row, line)
        rows.append(row)
    if not rows:
        raise ImageError(f"{name_of(path)} holds no rows; expected lines of path,label")
    _check_header(path, *rows[0])
    notes = [*_place_notes(path, rows[0][0], first), *_table_notes(lines, again)]
    return Samples(path, "labels", sorted({label for _, label in rows}), rows, notes)


def _check_header(path: str, name: str, label: str) -> None:
    """Refuse a first line that was read as an image, and is a header of which one column's name is known."""
    column = os.path.basename(name)
    known = column.lower() in PATH_COLUMNS or label.lower() in LABEL_COLUMNS
    if known and os.path.splitext(name)[1].lower() not in EXTENSIONS and not os.path.exists(name):
        raise ImageError(
            f"the first line of {name_of(path)} looks like a header, {column!r:.40} and {label!r:.40}; expected path "
            "(or file, image, ...) and label (or class, target, ...)"
        )


def _place_notes(table: str, path: str, written: str) -> Iterator[str]:
    """Paths may have been written from where the program runs."""
    if path != written and not os.path.lexists(path) and os.path.exists(written):
        yield (
            f"relative paths start at the folder of {name_of(table)}: {name_of(path)} does not exist, but "
            f"{name_of(written)} does"
        )


def _table_notes(lines: dict[tuple[str, str], int], again: list[int]) -> Iterator[str]:
    if again:
        yield f"{_count(len(again), 'row')} said before, the first in line {again[0]}; each counts"
    first: dict[str, int] = {}
    for (path, _), line in lines.items():
        if path in first:
            yield f"{name_of(path)} has one label in line {first[path]} and another in line {line}; each row counts"
            return
        first[path] = line


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
