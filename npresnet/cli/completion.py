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
    for action in actions(parser):
        if action.choices is None:
            action.completer = _either(names_of(action), files if is_of_files(action) else None)  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser, always_complete_options="long", default_completer=files, **how)


def names_of(action: argparse.Action) -> Names:
    """What an argument may be besides a file."""
    return NAMES.get(action.dest, lambda: ())


def is_of_files(action: argparse.Action) -> bool:
    """Whether an argument takes a path: those that are no number, and have no names of their own."""
    return action.dest in OF_FILES or (action.type is None and action.dest not in (*NAMES, *OF_WORDS))


def actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of all commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from actions(command)


def _either(names: Names, files: Any) -> Any:
    return lambda prefix, **_: [*filter(lambda name: name.startswith(prefix), names()), *(files or _nothing)(prefix)]


def _nothing(prefix: str) -> Sequence[str]:
    return ()


def _loadable() -> list[str]:
    from npresnet.model.finding import DEMO_NAMES
    from npresnet.weights.names import ALL

    return [*DEMO_NAMES, *dict.fromkeys(weights.arch for weights in ALL), *(weights.name for weights in ALL)]


def _described() -> list[str]:
    from npresnet.model.finding import DEMO_NAMES

    return [*DEMO_NAMES, *_archs()]


def _archs() -> list[str]:
    from npresnet.arch import list_archs

    return list_archs()


def _options() -> list[str]:
    from npresnet.arch import OPTIONS

    return [f"{name}=" for name in OPTIONS]


def _presets() -> list[str]:
    from npresnet.images import PRESETS

    return list(PRESETS)


def _ways() -> Sequence[str]:
    from npresnet.model.class_mapping import WAYS

    return WAYS


def _exercises() -> list[str]:
    from npresnet.teach.exercises import EXERCISES

    return [found.name for found in EXERCISES]


# An argument's name -> what it may be besides a file.
NAMES: dict[str, Names] = {
    **dict.fromkeys(("model", "file", "source", "checkpoint"), _loadable),
    **dict.fromkeys(("network", "models"), _described),
    "arch": _archs,
    "option": _options,
    "preprocess": _presets,
    "labels": lambda: ["imagenet", "cifar10"],
    "device": lambda: ["cpu", "cuda", "auto"],
    "dtype": lambda: ["float32", "tf32", "float16", "bfloat16"],
    "classes": _ways,
    "names": _exercises,
}
OF_FILES = ("model", "file", "source", "checkpoint", "network", "models", "labels", "classes")  # besides
OF_WORDS = ("host", "index", "key", "layer", "name", "ray")  # that nobody can know before
