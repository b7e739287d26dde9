"""What a file tells about its network besides tensors: an architecture's name, options, class names, preprocessing.

`weights.Checkpoint.facts` holds them; here they are judged against the tensors. A fact that fits becomes a decision of
origin "file" whose note says where it stands; one that does not fit is left out and the note says so. The caller's own
arguments come first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from npresnet import arch as architectures
from npresnet.arch.names import find_arch, option_table
from npresnet.config import Config, Origin
from npresnet.errors import ArchitectureError
from npresnet.images import Preprocess
from npresnet.model import labels as label_names
from npresnet.network import Array, Network

Facts = Mapping[str, Any]


def build(
    tensors: Mapping[str, Array], facts: Facts, arch: str | None, options: Mapping[str, Any]
) -> tuple[Network, Config]:
    """`architectures.build` with the caller's arguments, and with what the file tells where the caller says nothing.

    A name that is unknown, or that the tensors do not have, is only a hint. Raises ArchitectureError where options that
    the file tells are not supported, and where a name that does not fit implies some.
    """
    told = {name: value for name, value in facts.get("options", {}).items() if name not in options}
    _refuse_unsupported(facts, told)
    origins: dict[str, Origin] = dict.fromkeys(told, "file")
    given = {**told, **options}
    name = facts.get("arch")
    mismatch: ArchitectureError | None = None
    if arch is None and architectures.is_arch(name):
        try:
            network, config = architectures.build(
                tensors, arch=name, options=given, origins={**origins, "arch": "file"}, hints=facts
            )
            return network, _noted(config, ["arch", *told], facts)
        except ArchitectureError as error:  # a name may be a class's, or that of the network it was made from
            mismatch = error
    network, config = architectures.build(tensors, arch=arch, options=given, origins=origins, hints=facts)
    if mismatch is not None and _says_more(name, config, given):
        raise mismatch
    if arch is None and name is not None and config.value("arch") != name:
        note = _joined(config["arch"].note, f"{_place(facts['arch_from'])} says {name}")
        config = config.with_decisions(arch=config["arch"]._replace(note=note))
    return network, _noted(config, told, facts)


def _says_more(name: Any, config: Config, given: Mapping[str, Any]) -> bool:
    """Whether a name implies what tensors cannot tell, and other than was assumed without it."""
    family, implied = find_arch(name)
    free = {option for option, entry in option_table(family).items() if entry.role == "free" and option not in given}
    return any(config.value(option, "none") != value for option, value in implied.items() if option in free)


class ToldLabels(NamedTuple):
    """Class names that fit the network, or None; `note` says where they stand, or which did not fit."""

    names: list[str] | None
    note: str


def labels_of(facts: Facts, num_classes: int | None, scores: str = "softmax") -> ToldLabels:
    """The first list of class names in the file that has one for each output."""
    if "labels" not in facts:
        return ToldLabels(None, "")
    lists = [(facts["labels_from"], facts["labels"]), *facts.get("more_labels", ())]
    for where, names in lists:
        if num_classes is not None and _fits(names, num_classes, scores):
            return ToldLabels(list(names), _place(where))
    sizes = ", ".join(f"{where} has {len(names):,}" for where, names in lists[:3])
    outputs = "no classifier" if num_classes is None else f"{num_classes:,} outputs"
    return ToldLabels(None, f"names in the file do not fit its {outputs}: {sizes}")


def preprocess_of(facts: Facts, channels: int) -> tuple[Preprocess | None, str]:
    """The preprocessing that the file tells, or None; and where it stands, or why it is not used."""
    if "preprocess" not in facts:
        return None, ""
    where = facts["preprocess_from"]
    try:
        told = Preprocess.from_dict(facts["preprocess"])
    except ArchitectureError as error:
        return None, f"that of {where} was ignored: {error}"
    if told.channels != channels:
        return None, f"that of {where} was ignored: it is for {told.channels} channels"
    return told, where


def _fits(names: list[str], num_classes: int, scores: str) -> bool:
    try:
        label_names.check(names, num_classes, scores)
    except ArchitectureError:
        return False
    return True


def _refuse_unsupported(facts: Facts, told: Mapping[str, Any]) -> None:
    where = facts.get("options_from", facts.get("network_from", ""))
    for name, value in told.items():
        if not architectures.is_option(name):
            raise ArchitectureError(f"{where} says {name}={value!r}, which is not supported")
    if facts.get("network", {}).get("downsample_in_first_stage") is True:
        raise ArchitectureError(
            f"{where} says downsample_in_first_stage: a stride of 2 in the first stage as well, which is not supported"
        )


def _noted(config: Config, names: list[str] | Mapping[str, Any], facts: Facts) -> Config:
    """Say where in the file these decisions stand."""
    found = {}
    for name in names:
        where = facts["arch_from"] if name == "arch" else facts["options_from"]
        if name in config and config[name].origin == "file":
            found[name] = config[name]._replace(note=_joined(config[name].note, _place(where)))
    return config.with_decisions(**found)


def _place(where: str) -> str:
    """Where a fact stands, in words: in the file, in its name, or in a configuration beside it, which is named."""
    return where if ".json" in where or where.startswith("the name ") else f"{where} in the file"


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
