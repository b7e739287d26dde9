"""What a shell completes, by argcomplete (extra `completion`): commands, options, files, and names of models.

A shell that was told by `eval "$(register-python-argcomplete npresnet)"` runs `npresnet` with _ARGCOMPLETE set for each
press of Tab.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Names = Callable[[], Sequence[str]]


def complete(parser: argparse.ArgumentParser, **how: Any) -> None:
    """Write the completions for what argcomplete's variables say, and end the process. Nothing without argcomplete.

    how  arguments of `argcomplete.autocomplete`, for tests
    """
    try:
        import argcomplete
    except ImportError:
        return
    files = argcomplete.FilesCompleter()
    for action in _actions(parser):
        names = NAMES.get(action.dest)
        if action.choices is None and names is not None:
            action.completer = _either(names, files) if action.dest in OF_FILES else _of(names)  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser, always_complete_options="long", default_completer=files, **how)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)


def _of(names: Names) -> Any:
    return lambda prefix, **_: [name for name in names() if name.startswith(prefix)]


def _either(names: Names, files: Any) -> Any:
    return lambda prefix, **_: [*_of(names)(prefix), *files(prefix)]


def _loadable() -> list[str]:
    from npresnet.model.finding import DEMO_NAMES
    from npresnet.weights.names import ALL

    return [*DEMO_NAMES, *dict.fromkeys(weights.arch for weights in ALL), *(weights.name for weights in ALL)]


def _archs() -> list[str]:
    from npresnet.arch import list_archs

    return list_archs()


def _options() -> list[str]:
    from npresnet.arch import OPTIONS

    return [f"{name}=" for name in OPTIONS]


def _presets() -> list[str]:
    from npresnet.images import PRESETS

    return list(PRESETS)


# An argument's name -> what it may be besides a file.
NAMES: dict[str, Names] = {
    **dict.fromkeys(("model", "file", "source", "checkpoint"), _loadable),
    **dict.fromkeys(("network", "models"), lambda: [*_archs()]),
    "arch": _archs,
    "option": _options,
    "preprocess": _presets,
    "labels": lambda: ["imagenet", "cifar10"],
    "device": lambda: ["cpu", "cuda", "auto"],
    "dtype": lambda: ["float32", "tf32", "float16", "bfloat16"],
    "names": lambda: [],
}
OF_FILES = ("model", "file", "source", "checkpoint", "network", "models", "labels")
