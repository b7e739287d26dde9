"""Class names: the built-in lists, and lists, text and JSON files of the user."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from npresnet.errors import ArchitectureError, CheckpointError
from npresnet.images.messages import name_of, not_a_path
from npresnet.images.reach import unreachable
from npresnet.model.inputs import listed
from npresnet.model.label_dicts import in_order, is_index, is_numbered
from npresnet.model.label_sources import described, is_ordered
from npresnet.system.signals import raise_signals
from npresnet.system.text import visible

IMAGENET: tuple[str, ...]  # the 1,000 names in torchvision's order; read on first access
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BUILT_IN = ("imagenet", "cifar10")

MAX_FILE_BYTES = 16 * 2**20
_DATA = Path(__file__).parent.parent / "data"
# Keys of the names in common JSON files: transformers' config.json, torchvision's ImageFolder, hand-made ones; and
# what the keys of a dict there are.
_WRAPPERS = {
    **dict.fromkeys(("id2label", "idx_to_class", "idx2label", "index_to_name"), "index"),
    **dict.fromkeys(("class_to_idx", "label2id"), "name"),
    **dict.fromkeys(("labels", "classes", "names", "class_names", "label_names", "categories"), ""),
}

Labels = str | os.PathLike[str] | Iterable[Any] | Mapping[Any, Any]


def read(source: Labels | None) -> list[str] | None:
    """The class names, in the order of the network's outputs.

    Parameters
    ----------
    source : list, dict, path or None
        None, which returns None; a list of names; "imagenet" or "cifar10"; a dict or the path of a file:

        - JSON: a list of names; `{"0": "cat", ...}`; `{"0": ["n02123045", "cat"], ...}`, where the last item is
          used; `{"cat": 0, ...}`, as torchvision's class_to_idx; or one of these under "id2label", "class_to_idx",
          "labels", "classes", "names" and the like
        - a list or dict as Python or NumPy prints it; YAML with `names:`; text of a name a line, of "0:cat" lines, or
          of one line of comma-separated names, see `npresnet.model.label_texts`

        Items of a list are names, numbers too, or pairs as of a dict, `[("cat", 0), ...]`. Of a dict whose keys and
        values are all numbers the values are the indices where the keys are text, `{"0": 0, "1": 1, "10": 2}`; where
        text is a number, `{"0": "7", "1": "3"}`, it is a name. A file called "imagenet" takes precedence over the
        built-in names.

    Returns
    -------
    list of str or None

    Raises
    ------
    CheckpointError
        A file cannot be read.
    ArchitectureError
        Its contents are not a list of names.

    Examples
    --------
    >>> npresnet.labels.read({"bees": 1, "ants": 0})
    ['ants', 'bees']
    """
    if source is None:
        return None
    if isinstance(source, (str, os.PathLike)):
        text = os.fspath(source)
        if text.lower() in BUILT_IN and not os.path.isfile(text):
            return list(_imagenet() if text.lower() == "imagenet" else CIFAR10)
        return _from_file(text)
    return _from_parsed(source, "the labels")


def check(names: Sequence[str] | None, num_classes: int, scores: str = "softmax") -> None:
    """Raise ArchitectureError unless `names` is None or has one name per class; one sigmoid may have two."""
    expected = (1, 2) if (num_classes, scores) == (1, "sigmoid") else (num_classes,)
    if names is not None and len(names) not in expected:
        sides = ", or one for each side of 0.5" if len(expected) > 1 else ""
        count = " or ".join(map(str, expected))
        raise ArchitectureError(
            f"expected {count} labels, one for each output of the network's last layer{sides}, "
            f"got {len(names)}{_beginning(names)}; pass one name per class, in the order of the outputs: a list, a "
            'text or JSON file, "imagenet" or "cifar10"'
        )


def _beginning(names: Sequence[str], most: int = 3) -> str:
    """Of names that do not fit, for they may be no names: ": 'ant', 'bee', 'crane', ..."."""
    shown = ", ".join(repr(visible(str(name))[:40]) for name in names[:most])
    return f": {shown}{', ...' * (len(names) > most)}" if shown else ""


def __getattr__(name: str) -> Any:
    if name == "IMAGENET":
        return _imagenet()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@lru_cache(maxsize=1)
def _imagenet() -> tuple[str, ...]:
    return tuple((_DATA / "imagenet_labels.txt").read_text(encoding="utf-8").splitlines())


def _from_file(path: str) -> list[str]:
    text, path = _read_text(path), visible(path)
    if text.lstrip().startswith(("[", "{")) or path.lower().endswith(".json"):
        try:
            return _from_parsed(json.loads(text, object_pairs_hook=lambda pairs: _once(pairs, path)), path)
        except (ValueError, RecursionError) as error:  # ValueError also for integers of thousands of digits
            if isinstance(error, ArchitectureError):
                raise
            if path.lower().endswith(".json"):
                raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    from npresnet.model.label_texts import parse  # not needed at start

    return _from_parsed(parse(text, path), path)


def _once(pairs: list[tuple[str, Any]], path: str) -> dict[str, Any]:
    """json.loads would keep the last of two equal keys."""
    found = dict(pairs)
    if len(found) != len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ArchitectureError(f"{path}: the key {twice!r:.60} stands there twice; remove the one that is wrong")
    return found


def _read_text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        instead = not_a_path(path) or "check the path"
        raise CheckpointError(
            f"no such label file: {name_of(path)}; {instead}, or pass {' or '.join(map(repr, BUILT_IN))}, or the names "
            "themselves as a list"
        ) from error
    except (OSError, ValueError) as error:
        raise_signals(error)
        reason = unreachable(path) or f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise CheckpointError(f"the label file {name_of(path)} {reason}") from error
    path = visible(path)
    if len(data) > MAX_FILE_BYTES:
        raise CheckpointError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB, too large for a file of labels")
    try:
        # PowerShell writes UTF-16 with a byte order mark; that of UTF-8 is dropped
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise CheckpointError(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); check that it is a label file"
        ) from error


def _from_parsed(labels: Any, where: str) -> list[str]:
    if isinstance(labels, Mapping):
        for key, keys_are in _WRAPPERS.items():
            if isinstance(labels.get(key), (list, Mapping)):
                _check_one(labels, key, where)
                return _from_unwrapped(labels[key], where, keys_are)
    return _from_unwrapped(labels, where)


def _check_one(labels: Mapping[Any, Any], key: str, where: str) -> None:
    """Refuse several keys that tell nothing more of what they hold: "labels" may be those of images."""
    others = [other for other in labels if isinstance(labels[other], list) and _WRAPPERS.get(other) == ""]
    if _WRAPPERS[key] == "" and any(labels[other] != labels[key] for other in others):
        raise ArchitectureError(
            f"{where}: the names may stand under any of {', '.join(map(repr, others))}, which differ; leave one"
        )


def _from_unwrapped(labels: Any, where: str, keys_are: str = "") -> list[str]:
    if isinstance(labels, Mapping):
        names = in_order(labels, where, keys_are)
    elif is_ordered(labels):
        names = list(listed(labels))
        if names and all(map(is_numbered, names)):
            names = in_order(_once(names, where), where, "")
    else:
        raise ArchitectureError(f"{where}: expected an ordered list of names, got {described(labels)}")
    return _not_empty([_name(label, where) for label in names], where)


def _name(label: Any, where: str) -> str:
    """A name; the last item of a pair such as ["n02123045", "cat"]; integers (classes of digits) as strings."""
    if isinstance(label, (list, tuple)) and len(label) > 1 and is_index(label[-1]):
        raise ArchitectureError(f"{where}: expected a class name as the last item, got {label!r:.60}")
    if isinstance(label, (list, tuple)) and label:
        label = label[-1]
    if isinstance(label, str) and label.strip():
        return label.strip()
    if is_index(label):
        return str(label)
    raise ArchitectureError(f"{where}: expected a class name, a string that is not empty, got {label!r:.60}")


def _not_empty(names: list[str], where: str) -> list[str]:
    if not names:
        raise ArchitectureError(f"{where}: there are no names; expected one per class")
    return names
