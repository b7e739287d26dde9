"""The images of a command: which files its arguments mean, what failed, and how far it is."""

from __future__ import annotations

import glob
import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from npresnet.cli.shared import complain
from npresnet.cli.stdin import EXPECTED, read_stdin
from npresnet.errors import ImageError
from npresnet.system.text import visible, width

STDIN = "-"
USUAL_WIDTH, MAX_WIDTH = 30, 80  # of a path, in columns


class ImagePaths:
    """Iterates over the images of files, folders and patterns; `-` is standard input, see `cli.stdin`.

    A source is a path, or the bytes of the image on standard input. An argument that means no image is reported at
    once, counted in `failures`, and yielded all the same, so that each has its record, in order; `outcome` gives its
    error again. `total` is None if paths come from standard input. After `as_clips` a folder or pattern is one item,
    the frames of a clip, rather than its files.
    """

    def __init__(self, arguments: list[str], *, recursive: bool = False):
        self.failures = 0
        self._recursive = recursive
        self._arguments = arguments
        self._are_clips = False
        self._refused: dict[str, ImageError] = {}
        self._stdin: bytes | Iterator[str] | None = None
        self._files: list[list[Any] | None] = [
            self._find(argument) if argument != STDIN else None for argument in arguments
        ]
        if arguments == [STDIN]:
            self._open_stdin()

    @classmethod
    def of(cls, args: Namespace) -> ImagePaths:
        """Those of a command with the arguments `images` and --recursive."""
        return cls(args.images, recursive=args.recursive)

    @property
    def total(self) -> int | None:
        """How many there are; None where they come from standard input."""
        if isinstance(self._stdin, bytes):
            return 1
        return None if None in self._files else sum(len(files) for files in self._files if files)

    @property
    def is_empty(self) -> bool:
        """Whether it is certain, before a model is loaded, that none can be read."""
        return all(files is not None and self._refused.keys() >= set(files) for files in self._files)

    @property
    def files(self) -> list[str]:
        """The paths that are known before any is read: all but standard input's, and those after `list_all`."""
        return [file for files in self._files for file in files or () if isinstance(file, str)]

    @property
    def width(self) -> int:
        """Columns of the longest path, within limits."""
        longest = max((width(visible(file)) for file in self.files), default=0)
        return min(MAX_WIDTH, max(longest, 0 if self.total else USUAL_WIDTH))

    def list_all(self) -> None:
        """Read the paths on standard input to their end, so that `files` and `total` know them."""
        known = zip(self._arguments, self._files, strict=True)
        pairs = [entry for pair in known for entry in (self._entries() if pair[1] is None else (pair,))]
        self._arguments, self._files = [argument for argument, _ in pairs], [files for _, files in pairs]

    def as_clips(self) -> None:
        """For a network for clips: every argument, or line of stdin, is one; with --recursive every folder below it."""
        self._are_clips = True
        for number, (argument, files) in enumerate(zip(self._arguments, self._files, strict=True)):
            if files and argument != STDIN and argument not in self._refused:
                self._files[number] = self._clips(argument, files)

    def __iter__(self) -> Iterator[str | bytes]:
        for files in self._files:
            yield from self._listed() if files is None else files

    def name(self, source: Any) -> str:
        """A source's name in output and messages: its path, shortened where it cannot be one; `-` for stdin's image."""
        if isinstance(source, bytes):
            return STDIN
        from npresnet.images.messages import shortened

        return shortened(str(source)) if source in self._refused else str(source)

    def outcome(self, source: Any, result: Any) -> Any:
        """What became of a source: the result, or the error, which is reported on stderr unless it was before."""
        if not isinstance(result, ImageError):
            return result
        known = self._refused.get(source) if isinstance(source, str) else None
        if known is None:
            self.report(self.name(source), result)
        return known or result

    def report(self, name: str, error: ImageError) -> None:
        """Report the error of one image on stderr."""
        self.failures += 1
        from npresnet.images.messages import shortened

        text, name = str(error), visible(shortened(name))
        complain(text if name in text else f"{name}: {text}")

    def _open_stdin(self) -> None:
        try:
            self._stdin = read_stdin()
        except ImageError as error:
            self.report("standard input", error)
            self._files = [[] if files is None else files for files in self._files]

    def _listed(self) -> Iterator[str | bytes]:
        """Of standard input."""
        for _, files in self._entries():
            yield from files

    def _entries(self) -> Iterator[tuple[str, list[Any]]]:
        """(line, its files) of standard input. What is neither paths nor an image is reported once, not read on."""
        if self._stdin is None:
            self._open_stdin()
        found, self._stdin = self._stdin, iter(())
        if isinstance(found, bytes):
            yield STDIN, [found]
            return
        try:
            for line in found or ():
                yield line, self._find(line, "" if self._refused else f"; {EXPECTED}")
        except ImageError as error:
            self.report("standard input", error)

    def _find(self, argument: str, hint: str = "") -> list[str]:
        from npresnet import images

        try:
            found = images.find(argument, recursive=self._recursive)
        except ImageError as error:
            self._refused[argument] = error
            self.report(argument, ImageError(f"{error}{hint}"))
            return [argument]
        return self._clips(argument, found) if self._are_clips else found

    def _clips(self, argument: str, files: list[str]) -> list[str]:
        """With --recursive the folders of frames in a folder, or in those of a pattern; else the argument itself."""
        if not self._recursive or not any(map(os.path.isdir, [argument, *glob.glob(argument)])):
            return [argument]
        return list(dict.fromkeys(map(os.path.dirname, files)))


def one_image(argument: str) -> str | bytes:
    """The image of a command that takes one: its path, or the bytes that stand on standard input for `-`."""
    found = read_stdin() if argument == STDIN else argument
    if isinstance(found, (str, bytes)):
        return found
    raise ImageError("standard input is no image, and this command takes one: pass its path")


def progress_of(paths: ImagePaths, unit: str = "image") -> Any:
    """A progress bar on stderr where it is a terminal and there is more than one image; else None."""
    if paths.total == 1 or not sys.stderr.isatty():
        return None
    from npresnet.system.progress import progress_bar

    return progress_bar(total=paths.total, unit=unit, file=sys.stderr, leave=False)
