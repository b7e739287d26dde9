"""Which class a text such as the argument `--index dog` means."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from npresnet.errors import ArchitectureError
from npresnet.system.text import visible

MAX_SHOWN, MAX_ASKED = 8, 70  # classes in a message, and characters of what was asked for


def class_index(text: str, labels: Sequence[str] | None, asked: str) -> int:
    """The index of a class: a number, or a label; of "tench, Tinca tinca" each name. Case and separators do not count.

    asked  what asks for it, for messages: "--index dog"

    Raises ArchitectureError for a name that no class has, or several have, with those that may be meant.
    """
    if re.fullmatch(r"\d{1,18}", text.strip()):  # Python refuses to convert thousands of digits
        return int(text)
    asked = visible(asked)[:MAX_ASKED]
    if not labels:
        raise ArchitectureError(
            f"{asked}: this model knows no names of its classes; pass an index, or load it with labels"
        )
    wanted = _plain(text)
    found = [index for index, label in enumerate(labels) if wanted == _plain(label)]
    found = found or [index for index, label in enumerate(labels) if wanted in map(_plain, label.split(","))]
    if len(found) == 1:
        return found[0]
    if found:
        raise ArchitectureError(f"{asked} means several classes: {_listed(found, labels)}; pass the index of one")
    near = _near(wanted, labels)
    hint = f"did you mean {_listed(near, labels)}?" if near else f"there are {_listed(range(len(labels)), labels)}"
    raise ArchitectureError(f"{asked}: no class has this label; {hint}")


def _near(wanted: str, labels: Sequence[str]) -> list[int]:
    """Classes with this word in their label, then those spelled alike."""
    if not wanted:
        return []
    plain = [_plain(label) for label in labels]
    holding = [index for index, label in enumerate(plain) if re.search(rf"\b{re.escape(wanted)}\b", label)]
    holding = holding or [index for index, label in enumerate(plain) if wanted in label]
    names = {name: index for index, label in enumerate(labels) for name in map(_plain, [label, *label.split(",")])}
    alike = [names[name] for name in difflib.get_close_matches(wanted, names, n=4)]
    return list(dict.fromkeys([*holding, *alike]))


def _plain(label: str) -> str:
    return re.sub(r"[\s_-]+", " ", label).strip().casefold()


def _listed(indices: Sequence[int], labels: Sequence[str]) -> str:
    shown = [f"{visible(labels[index])[:60]} ({index})" for index in indices[:MAX_SHOWN]]
    return ", ".join(shown) + (f", ... ({len(indices):,} in all)" if len(indices) > MAX_SHOWN else "")
