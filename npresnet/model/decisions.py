"""Decisions about images and classes, which do not follow from the tensors: preprocessing and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from npresnet import images
from npresnet.config import Config, Decision
from npresnet.errors import ArchitectureError
from npresnet.images import Preprocess
from npresnet.model import labels as label_names
from npresnet.model import told
from npresnet.model.bounds import check_told, kind_of
from npresnet.model.metadata import Stored

Labels = label_names.Labels | None
PreprocessLike = str | Mapping[str, Any] | Preprocess | None


def decide_preprocess(
    given: PreprocessLike,
    stored: Stored | None,
    suggested: Decision,
    facts: Mapping[str, Any] = MappingProxyType({}),
    channels: int = 3,
    takes_clips: bool = False,
) -> tuple[Decision, Preprocess | None]:
    """The caller's preprocessing, else the file's, else the one suggested by file name or architecture.

    given     a preset's name, a Preprocess, or a dict of fields that replace those of the default
    facts     what the file tells, see told.py; a published file's name says more
    channels  of the network's input

    Returns None if no preset applies: for images with a number of channels other than 3. Raises ArchitectureError where
    the file asks for larger images than bounds.py allows its kind.
    """
    if stored is not None:
        note = "as when the file was converted" if stored.doubts else ""
        decision = Decision(None, "file", note, stored.doubts)
        chosen = stored.preprocess
        if chosen is not None:
            check_told(chosen, kind_of(takes_clips), "the file", given)
    else:
        decision, chosen = suggested, None if suggested.value is None else images.preset(suggested.value)
        said, note = told.preprocess_of(facts, channels)
        if said is not None and suggested.origin != "file":
            decision, chosen = Decision(None, "file", note), said
            check_told(said, kind_of(takes_clips), note, given)
        elif said is None and note:
            decision = decision._replace(note="; ".join(text for text in (decision.note, note) if text))
    if given is not None:
        decision = Decision(None, "caller")
        if isinstance(given, Mapping) and "preset" not in given:
            chosen = (chosen or images.PRESETS["V1"]).evolve(**given)
        else:
            chosen = images.preset(given)
    if chosen is None:
        return decision, None
    return decision._replace(value=chosen.name or chosen.to_dict()), chosen


def decide_order(
    bgr: Decision | None, decision: Decision, how: Preprocess | None, given: PreprocessLike = None
) -> tuple[Decision, Preprocess | None]:
    """The preprocessing with its channels in the order that the option `bgr` says, where it was given.

    given  the caller's preprocessing, whose order wins over one that only the file says

    Raises ArchitectureError for a network whose images have not three channels, and where the caller says both orders.
    """
    if bgr is None or (how is not None and how.bgr == bgr.value):
        return decision, how
    if isinstance(given, Mapping) and "bgr" in given and bgr.origin == "caller":
        raise ArchitectureError(f"bgr={bgr.value} contradicts the order in preprocess, bgr={given['bgr']}")
    fields = isinstance(given, Mapping) and "bgr" not in given and "preset" not in given
    if given is not None and not fields and bgr.origin == "file":
        return decision, how
    if how is None:
        raise ArchitectureError("bgr is about preprocessing, of which this network has none: give mean and std as well")
    how = how.evolve(bgr=bgr.value)
    return decision._replace(value=how.name or how.to_dict(), origin=bgr.origin), how


def decide_labels(
    given: Labels,
    stored: Stored | None,
    suggested: Decision,
    num_classes: int | None,
    facts: Mapping[str, Any] = MappingProxyType({}),
    scores: str = "softmax",
) -> tuple[Decision, list[str] | None]:
    """The caller's labels, else those of the file, else those suggested by the architecture, else None.

    facts   what the file tells, see told.py; where names do not fit, there are none, and the decision's note says so
    scores  one logit with "sigmoid" has one or two names

    Raises ArchitectureError unless there is one name per class.
    """
    chosen: list[str] | None
    said = told.labels_of(facts, num_classes, scores) if given is None and stored is None else told.ToldLabels(None, "")
    if given is not None:
        decision, chosen = Decision(None, "caller"), label_names.read(given)
    elif stored is not None:
        decision, chosen = Decision(None, "file"), None if num_classes is None else stored.labels
    elif said.names is not None:
        decision, chosen = Decision(None, "file", said.note), said.names
    elif said.note:  # built-in names would be those of other classes
        decision, chosen = Decision(None, "file"), None
    else:
        decision, chosen = suggested, None if suggested.value is None else list(_built_in(suggested.value))
    if chosen is None:
        note = said.note or suggested.note or "no names are known"
        return Decision(None, decision.origin, f"{note}: classes are named by index"), None
    if num_classes is None:
        raise ArchitectureError(f"{len(chosen)} labels were given, but this network has no classifier")
    label_names.check(chosen, num_classes, scores)
    return decision._replace(value=_name_of(chosen)), chosen


def input_size(config: Config, preprocess: Preprocess | None) -> tuple[int, ...]:
    """(C, H, W) of a preprocessed image, (C, T, H, W) of a clip; 224 x 224 if preprocessing keeps the images' sizes."""
    crop = None if preprocess is None else preprocess.crop
    height, width = crop if isinstance(crop, tuple) else (crop or 224,) * 2
    frames = (config.value("frames"),) if "frames" in config else ()
    return config.value("in_channels", 3), *frames, height, width


def _built_in(name: str) -> Sequence[str]:
    return label_names.IMAGENET if name == "imagenet" else label_names.CIFAR10


def _name_of(labels: list[str]) -> str | list[str]:
    """The value stored in the config: the name of a built-in list, else the list."""
    name = "imagenet" if len(labels) == 1000 else "cifar10"
    return name if tuple(labels) == tuple(_built_in(name)) else labels
