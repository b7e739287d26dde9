"""argparse with "did you mean": for commands, options and choices that do not exist."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from npresnet.system.text import visible

MOST = 3  # suggestions


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose messages about unknown words name those spelled alike."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self._given: list[str] = []

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's; the words are kept for messages, and -output for --output is refused rather than split."""
        self._given = list(sys.argv[1:] if args is None else args)
        for word in self._options_given():
            if re.match(r"-[^\W\d]{2,}", word) and f"-{word}" in self._option_string_actions:
                self.error(f"unknown option {word}; did you mean -{word}?")
        return super().parse_known_args(args, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's; images and names may also follow options; of unknown ones the command's own usage is shown."""
        found, unknown = self.parse_known_args(args, namespace)
        command = self._of(found)
        if not any(word.startswith("-") for word in unknown):
            for action in command._actions:
                if action.nargs in ("+", "*") and not action.option_strings and unknown:
                    given = getattr(found, action.dest)
                    setattr(found, action.dest, unknown if given is action.default else [*given, *unknown])
                    unknown = []
        if unknown:
            early = next((word for word in unknown if word.partition("=")[0] in command._option_string_actions), None)
            if early is not None:
                command.error(f"{early} belongs after the command: {command.prog} ... {early}")
            command.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found

    def error(self, message: str) -> NoReturn:
        """Print usage and the message, with suggestions for options that do not exist, and exit with 2."""
        hints = [f"; {hint}" for hint in map(self._hint, self._options_given()) if hint and hint not in message]
        super().error(visible(message + "".join(dict.fromkeys(hints))))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        hint = did_you_mean(str(value), choices) or f"choose from {', '.join(choices)}"
        if isinstance(action, argparse._SubParsersAction):
            if self._given[0].startswith("-"):
                hint = f"options belong after the command, as in {self.prog} predict IMG --model M"
            elif os.path.lexists(str(value)):
                hint = f"to classify that image: {self.prog} predict {value}; to see what is in a weight file: inspect"
            raise argparse.ArgumentError(None, f"unknown command {value!r}; {hint}")
        raise argparse.ArgumentError(action, f"invalid choice: {value!r}; {hint}")

    def _hint(self, word: str) -> str:
        """A suggestion for a word that looks like an option and is none, or is the name of a file; "" for others."""
        if len(word) > 1 and word not in self._option_string_actions and os.path.lexists(word):
            return f"{word}: for that file write ./{word}"
        known = [option for option in self._option_string_actions if option.startswith("--")]
        if not word.startswith("--") or any(option.startswith(word) for option in known):
            return ""
        close = did_you_mean(word, known)
        return f"{word}: {close}" if close else ""

    def _options_given(self) -> list[str]:
        """The words before -- that begin like options, without their values."""
        words = self._given[: self._given.index("--")] if "--" in self._given else self._given
        return [word.partition("=")[0] for word in words if word.startswith("-")]

    def _of(self, found: argparse.Namespace) -> Parser:
        """The parser of the command that was parsed."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                chosen = action.choices.get(getattr(found, action.dest, ""))
                if isinstance(chosen, Parser):
                    return chosen
        return self


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ "did you mean a or b?" of names spelled alike, whatever their case; "" where there are none."""
    import difflib  # only in case of an error

    names = {name.lstrip("-").lower(): name for name in known}
    wanted = word.lstrip("-").lower()
    close = difflib.get_close_matches(wanted, names, n=MOST)
    if len(wanted) >= 3 and not close:
        close = [name for name in names if name.startswith(wanted)][:MOST]
    return f"did you mean {' or '.join(names[name] for name in close)}?" if close else ""
