"""What several commands need: a model and image paths from arguments, and messages on stderr."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from npresnet.errors import ArchitectureError, ImageError

if TYPE_CHECKING:
    from npresnet.model.model import Model

FINE, FAILED = 0, 1

DEMO_ANSWERED = (
    "no --model was given, so the demo model answers; it knows ten classes only (airplane, automobile, bird, cat, "
    "deer, dog, frog, horse, ship, truck). For the 1,000 of ImageNet say --model resnet18, which downloads it once; "
    "for your own, --model FILE"
)


def complain(message: str) -> None:
    """A line on stderr; above the progress bar, where there is one."""
    line = f"npresnet: {message}"
    if "tqdm" in sys.modules:
        sys.modules["tqdm"].tqdm.write(line, file=sys.stderr)
    else:
        print(line, file=sys.stderr)
    sys.stderr.flush()


def model_of(args: Namespace) -> Model:
    """The model that the arguments ask for; the demo model, with a word about it, where they name none."""
    import npresnet

    if args.model is None:
        complain(DEMO_ANSWERED)
    where = {"device": args.device, "dtype": args.dtype}
    runtime = {**where, "threads": args.threads, "fast": args.fast, "winograd": not args.no_winograd}
    model = npresnet.load(args.model or "demo", **runtime, **decisions_of(args))
    if args.device == "auto":
        complain(model.config["device"].note)
    return model


def decisions_of(args: Namespace) -> dict[str, Any]:
    """What `load` and `convert` can be told."""
    told = {"arch": args.arch, "labels": args.labels, "preprocess": _preprocess(args)}
    return {**told, **options_of(args)}


def options_of(args: Namespace) -> dict[str, Any]:
    """`--option NAME=VALUE`, the value as JSON where it is such, else as it stands."""
    from npresnet.arch import OPTIONS

    options = {}
    for text in args.option:
        name, equals, value = text.partition("=")
        if not equals:
            raise ArchitectureError(f"--option {text} has no value; write it as NAME=VALUE, such as stride_on=3x3")
        name = name.strip().replace("-", "_")
        if name not in OPTIONS:  # "device" and the like would pass for arguments
            raise ArchitectureError(f"there is no option {name[:60]!r}; the options are {', '.join(OPTIONS)}")
        try:
            options[name] = json.loads(value)
        except (ValueError, RecursionError):
            options[name] = value
    return options


class ImagePaths:
    """Paths, folders and patterns as typed, `-` for a list on stdin; iterating gives image files.

    What does not exist is reported, counted in `failures`, and skipped. `total` is None where stdin is still to tell.
    """

    def __init__(self, arguments: list[str]):
        self.failures = 0
        self._files = [self._find(argument) if argument != "-" else None for argument in arguments]
        self.total = None if None in self._files else sum(len(files) for files in self._files if files)

    def __iter__(self) -> Iterator[str]:
        for files in self._files:
            if files is not None:
                yield from files
            else:
                for line in sys.stdin:
                    if line.strip():
                        yield from self._find(line.strip("\r\n"))

    @property
    def width(self) -> int:
        """Of the longest path, for columns; at most 60."""
        return min(60, max((len(file) for files in self._files for file in files or ()), default=0))

    def report(self, path: Any, error: ImageError) -> None:
        """Say on stderr what is wrong with one image."""
        self.failures += 1
        text = str(error)
        complain(text if str(path) in text else f"{path}: {text}")

    def _find(self, argument: str) -> list[str]:
        from npresnet import images

        try:
            return images.find(argument)
        except ImageError as error:
            self.report(argument, error)
            return []


def _preprocess(args: Namespace) -> Any:
    """--preprocess and --exif, as `load` takes them."""
    chosen, exif = args.preprocess, getattr(args, "exif", False)
    if chosen is not None and chosen.lstrip().startswith("{"):
        try:
            chosen = json.loads(chosen)
        except (ValueError, RecursionError) as error:
            raise ArchitectureError(f"--preprocess is no valid JSON: {error}") from None
    if exif:
        return {**chosen, "exif": True} if isinstance(chosen, dict) else _with_exif(chosen)
    return chosen


def _with_exif(preset: str | None) -> dict[str, Any]:
    return {"exif": True} if preset is None else {"preset": preset, "exif": True}
