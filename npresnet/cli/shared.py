"""Shared by several commands: a model from arguments, and messages on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from npresnet.cli.parser.suggesting import did_you_mean
from npresnet.errors import ArchitectureError
from npresnet.system.files import require_replaceable
from npresnet.system.text import visible, visible_lines

if TYPE_CHECKING:
    from npresnet.model.model import Model

FINE, FAILED, MISUSED = 0, 1, 2
STDOUT = "-"  # as the name of an output

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


def misuse(message: str) -> NoReturn:
    """Arguments that contradict each other: exit code 2, as for others that argparse refuses."""
    complain(f"error: {message}")
    raise SystemExit(MISUSED)


def check_outputs(args: Namespace, read: Iterable[object], *targets: str | None, further: Iterable[str] = ()) -> None:
    """Before any work: whether the files that a command writes in the end can be written, and are none that it reads.

    Ends the process, as after wrong usage, for a file that the command reads: the model's, or one of `read`; what is no
    path among them does not count. Raises OSError for one that cannot be written.

    further  files that may be written besides; of them only what is read is refused
    """
    chosen = [target for target in targets if target not in (None, STDOUT)]
    written = {_identity(target): target for target in [*chosen, *further] if os.path.isfile(target)}
    of_model = (getattr(args, name, None) for name in ("model", "labels"))
    for path in (*of_model, *read) if written else ():
        target = written.get(_identity(path)) if isinstance(path, (str, os.PathLike)) else None
        if target is not None:
            misuse(f"{visible(target)} is what this command reads, and would be overwritten; choose another name")
    for target in chosen:
        require_replaceable(target)


def _identity(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """What two names of one file share; None where there is no file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # ValueError: a name with a null character
        return None
    return found.st_dev, found.st_ino


def model_of(args: Namespace) -> Model:
    """The model given by the arguments; the demo model, with a message, if there is no --model."""
    import npresnet

    if args.model is None:
        complain(DEMO_USED)
    where = {"device": args.device, "dtype": args.dtype}
    runtime = {**where, "threads": args.threads, "fast": args.fast, "winograd": not args.no_winograd}
    runtime["max_pixels"] = args.max_pixels
    model = npresnet.load("demo" if args.model is None else args.model, **runtime, **decisions_of(args))
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
            hint = did_you_mean(name, [*OPTIONS, *arguments]) or f"expected one of {', '.join(OPTIONS)}"
            raise ArchitectureError(f"unknown option {name[:60]!r}; {hint}")
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
