"""Shared by several commands: a model and image paths from arguments, and messages on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from npresnet.errors import ArchitectureError, ImageError
from npresnet.system.text import visible, visible_lines

if TYPE_CHECKING:
    from npresnet.model.model import Model

FINE, FAILED = 0, 1

# first bytes -> kind of a picture
PICTURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"RIFF": "WebP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\0\0\0": "AVIF or HEIC",
}
LONGEST_LINE = 2**15  # characters; the longest path of any system

DEMO_USED = (
    "no --model was given, so the demo model is used; it has only ten classes (airplane, automobile, bird, cat, "
    "deer, dog, frog, horse, ship, truck). For ImageNet's 1,000 classes use --model resnet18, which is downloaded "
    "once; for your own, --model FILE"
)


def complain(message: str) -> None:
    """Print a line on stderr, above the progress bar if there is one."""
    line = f"npresnet: {visible_lines(message)}"
    if "tqdm" in sys.modules:
        sys.modules["tqdm"].tqdm.write(line, file=sys.stderr)
    else:
        print(line, file=sys.stderr)
    sys.stderr.flush()


def say(text: object) -> None:
    """Print text on stdout; nothing in it, which may come from a file, acts on the terminal."""
    print(visible_lines(str(text)))


def model_of(args: Namespace) -> Model:
    """The model given by the arguments; the demo model, with a message, if there is no --model."""
    import npresnet

    if args.model is None:
        complain(DEMO_USED)
    where = {"device": args.device, "dtype": args.dtype}
    runtime = {**where, "threads": args.threads, "fast": args.fast, "winograd": not args.no_winograd}
    runtime["max_pixels"] = args.max_pixels
    model = npresnet.load(args.model or "demo", **runtime, **decisions_of(args))
    if args.device == "auto":
        complain(model.config["device"].note)
    return model


def decisions_of(args: Namespace) -> dict[str, Any]:
    """The keyword arguments for `load` and `convert`."""
    decided = {"arch": args.arch, "labels": args.labels, "preprocess": _preprocess(args), "key": args.key}
    return {**decided, **options_of(args, arguments=tuple(decided))}


def options_of(args: Namespace, arguments: Sequence[str] = ()) -> dict[str, Any]:
    """`--option NAME=VALUE` as a dict.

    arguments  names that are arguments of their own, but may be given as options, too: warnings write
               preprocess='cifar10' as they write head_activation='none'
    """
    from npresnet.arch import OPTIONS

    options = {}
    for text in args.option:
        name, equals, value = text.partition("=")
        if not equals:
            raise ArchitectureError(f"--option {text} has no value; write it as NAME=VALUE, such as stride_on=3x3")
        name = name.strip().replace("-", "_")
        if name not in OPTIONS and name not in arguments:  # "device" and others would be taken as arguments of `load`
            raise ArchitectureError(f"unknown option {name[:60]!r}; expected one of {', '.join(OPTIONS)}")
        options[name] = _value(value)
    return options


def _value(text: str) -> Any:
    """JSON, [3, 2, 0, true]; or Python, as warnings and errors write it, [3, 2, 0, True]; else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if text.startswith(("True", "False", "None", "[", "(", "{", "'", '"')):
        from ast import literal_eval

        with contextlib.suppress(ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            return literal_eval(text)
    return text


def not_a_list(line: str) -> str:
    """What a line of stdin shows stdin to be instead of a list of paths, with the way out; "" for a path."""
    start = line[:16].encode("utf-8", "surrogateescape")
    latin = line[:16].encode("latin-1", "replace")  # where the locale is not UTF-8
    kind = next((kind for sign, kind in PICTURES.items() if start.startswith(sign) or latin.startswith(sign)), "")
    if kind == "WebP" and line[8:12] != "WEBP" and (len(line) > 8 or os.path.exists(line.strip("\r\n"))):
        kind = ""  # a path; of a picture the line may end inside the size, the second four bytes
    if kind == "GIF" and line.strip("\r\n").isprintable():
        kind = ""  # GIF89a.png; in a picture, its size follows the sign
    if kind:
        way_out = "save it and pass the file's path, such as `curl -o photo URL && npresnet predict photo`"
        return f"is a picture ({kind}), where - expects paths, one a line; {way_out}"
    if "\0" in line:
        return (
            "holds NUL characters, where - expects paths as text, one a line, and neither UTF-16 nor separated by NUL"
        )
    if len(line) > LONGEST_LINE:
        return f"has a line of more than {LONGEST_LINE:,} characters, where - expects paths, one a line"
    return ""


class ImagePaths:
    """Iterates over the image files of paths, folders and patterns, `-` for a list on stdin.

    Missing ones are reported, counted in `failures`, and skipped. `total` is None if stdin is to be read. After
    `as_clips` a folder or pattern is one item, the frames of a clip, rather than its files.
    """

    def __init__(self, arguments: list[str]):
        self.failures = 0
        self._arguments = arguments
        self._are_clips = False
        self._files = [self._find(argument) if argument != "-" else None for argument in arguments]
        self._count()

    def as_clips(self) -> None:
        """For a network for clips: every argument, or line of stdin, is one."""
        self._are_clips = True
        found = zip(self._arguments, self._files, strict=True)
        self._files = [[argument] if files else files for argument, files in found]
        self._count()

    def _count(self) -> None:
        self.total = None if None in self._files else sum(len(files) for files in self._files if files)

    def __iter__(self) -> Iterator[str]:
        for files in self._files:
            if files is not None:
                yield from files
            else:
                yield from self._listed()

    def _listed(self) -> Iterator[str]:
        """Of the paths on stdin, one a line. What is no text is reported once, and not read on."""
        while line := sys.stdin.readline(LONGEST_LINE + 1):
            path = line.strip("\r\n")
            instead = not_a_list(line)
            if instead:
                self.report("standard input", ImageError(f"standard input {instead}"))
                return
            if path.strip():
                yield from self._find(path)

    @property
    def width(self) -> int:
        """Length of the longest path, at most 60."""
        return min(60, max((len(file) for files in self._files for file in files or ()), default=0))

    def report(self, path: Any, error: ImageError) -> None:
        """Report the error of one image on stderr."""
        self.failures += 1
        from npresnet.images.messages import shortened

        text, name = str(error), visible(shortened(str(path)))
        complain(text if name in text else f"{name}: {text}")

    def _find(self, argument: str) -> list[str]:
        from npresnet import images

        try:
            found = images.find(argument)
            return [argument] if self._are_clips else found
        except ImageError as error:
            self.report(argument, error)
            return []


def _preprocess(args: Namespace) -> Any:
    """--preprocess, --exif and --draft as an argument of `load`."""
    chosen = args.preprocess
    flags = {name: True for name in ("exif", "draft") if getattr(args, name, False)}
    if chosen is not None and chosen.lstrip().startswith("{"):
        try:
            chosen = json.loads(chosen)
        except (ValueError, RecursionError) as error:
            raise ArchitectureError(f"--preprocess is not valid JSON: {error}") from None
    if flags:
        if isinstance(chosen, dict):
            return {**chosen, **flags}
        return flags if chosen is None else {"preset": chosen, **flags}
    return chosen
