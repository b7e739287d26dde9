"""Facts: what a file says about its network besides tensors: class names, the architecture's name, preprocessing.

    labels       names of the classes            labels_from      where they stand, such as "meta.CLASSES"
    more_labels  [(where, names), ...] of further lists, should the first one not fit
    arch         "resnetblur50"                  arch_from        "args.model"
    num_classes  their number                    preprocess       fields of `npresnet.Preprocess`; preprocess_from
    options      settings named as load's        options_from
    network      other entries of a configuration that bear on the network, by their own names

Searched are, from the state dict outwards, the entries beside it and the namespaces among them (`args`, `meta`,
Lightning's `hyper_parameters`), then safetensors' metadata, then configurations beside the file (beside.py). The first
to say something counts. An argparse.Namespace and the like are read without importing anything: their attributes are
the state that the pickle gave them.

Whether a fact fits the tensors is not judged here. Anything malformed is left out, with a note if its key says that it
should be names of classes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from npresnet.weights.class_names import names_in
from npresnet.weights.inert import Inert, as_mapping, describe
from npresnet.weights.source import shown

LABELS = (
    "classes", "class_names", "class_to_idx", "idx_to_class", "labels", "label_names", "names", "CLASSES", "categories",
    "id2label", "label2id", "idx2label",
)  # fmt: skip
ARCHS = ("arch", "architecture", "model_name", "arch_name", "backbone", "encoder_name", "model", "net", "network")
COUNTS = ("num_classes", "nb_classes", "n_classes", "num_labels")
NAMESPACES = (
    "meta", "dataset_meta", "args", "hyper_parameters", "hparams", "hyperparameters", "config", "cfg", "opt", "options",
    "model_args", "model_config",
)  # fmt: skip
_GENERIC = ("resnet", "model", "net", "network", "backbone", "auto", "custom", "none")  # say nothing
_ARCH = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{1,99}")
_MAX_NAMESPACES = 64
_MAX_LISTS = 8
_MAX_JSON = 4 << 20  # characters


class Facts:
    """Collects facts; the first one of a kind counts."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self.labels: list[tuple[str, list[str]]] = []
        self.notes: list[str] = []
        self._seen: set[int] = set()

    def say(self, kind: str, value: Any, where: str) -> None:
        """Record a fact of a kind, unless there is one."""
        if kind not in self.found:
            self.found |= {kind: value, f"{kind}_from": where}

    def say_labels(self, value: object, where: str) -> None:
        """Record class names, or note that they are none."""
        if len(self.labels) >= _MAX_LISTS:
            return
        names = names_in(value)
        if names is not None:
            self.labels.append((where, names))
        elif as_mapping(value) or (isinstance(value, (list, tuple)) and value):
            self.notes.append(f"{where} ({describe(value)}) was not taken for names of classes")

    def say_arch(self, name: object, where: str) -> None:
        """Record an architecture's name, without the name of the library in front and the weights' behind it."""
        if isinstance(name, str) and len(name) <= 200:
            base = name.rpartition("/")[2].removeprefix("tu-").partition(".")[0]
            if _ARCH.fullmatch(base) and base.lower() not in _GENERIC:
                self.say("arch", base, where)

    def search(self, entries: Mapping[Any, Any], where: str = "") -> None:
        """Record what a dict, and the namespaces in it, say. Each object is searched once."""
        if id(entries) in self._seen or len(self._seen) >= _MAX_NAMESPACES:
            return
        self._seen.add(id(entries))
        for key in LABELS:
            if key in entries:
                self.say_labels(plain(entries[key]), where + key)
        for key in ARCHS:
            self.say_arch(plain(entries.get(key)), where + key)
        for key in COUNTS:
            count = plain(entries.get(key))
            if type(count) is int and 0 < count < 10**6:
                self.say("num_classes", count, where + key)
        for key in NAMESPACES:
            inner = attributes(entries.get(key))
            if inner:
                self.search(inner, f"{where}{key}.")

    def result(self) -> tuple[dict[str, Any], list[str]]:
        """The facts and the notes."""
        if self.labels:
            where, names = self.labels[0]
            self.found |= {"labels": names, "labels_from": where}
        if self.labels[1:]:
            self.found["more_labels"] = self.labels[1:]
        return self.found, self.notes


def collect(
    around: list[dict[object, object]], metadata: Mapping[str, Any], files: list[str], name: str = ""
) -> tuple[dict[str, Any], list[str]]:
    """The facts that a file tells, and notes about what was ignored.

    around    the dicts that lead to the state dict, outermost first
    metadata  safetensors' strings
    files     the file's path, or those of its shards; [] of weights in memory
    name      the file's, or that of what was read from memory
    """
    facts = Facts()
    for entries in reversed(around):
        facts.search(entries)
    known = {*LABELS, *NAMESPACES}
    facts.search({key: from_json(value) if key in known else value for key, value in metadata.items()}, "metadata ")
    from npresnet.weights.caffe2_facts import say_strides

    if files:
        from npresnet.weights.beside import read_beside

        read_beside(facts, files)
    say_strides(facts, around, name or files[0])
    return facts.result()


def attributes(value: object) -> Mapping[Any, Any] | None:
    """The attributes of a namespace or the items of a dict: a pickled object's state is a dict, or a pair of two."""
    if not isinstance(value, Inert):
        return value if isinstance(value, dict) else None
    if value.items:
        return value.items
    states = value.state if isinstance(value.state, tuple) else (value.state,)
    state = next((state for state in states[:2] if isinstance(state, dict)), None)
    inner = state.get("_content") if state else None  # OmegaConf
    return inner if isinstance(inner, dict) else state


def plain(value: object) -> object:
    """The value of OmegaConf's nodes, or the value itself."""
    if not isinstance(value, Inert) or value.items or value.elements:
        return value
    state = attributes(value)
    if state is None:
        return value
    if "_content" in (value.state if isinstance(value.state, dict) else {}):
        return state
    return state.get("_val", value)


def from_json(text: object) -> object:
    """What a string of metadata means if it is JSON, else the string."""
    if not isinstance(text, str) or len(text) > _MAX_JSON or text[:1] not in ("[", "{"):
        return text
    try:
        return json.loads(text, parse_int=lambda digits: int(digits[:20]))
    except (ValueError, RecursionError):
        return shown(text)
