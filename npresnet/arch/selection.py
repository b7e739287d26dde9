"""Which of a file's tensors are the ResNet: no prefix, no heads of detection and segmentation nets."""

from __future__ import annotations

from npresnet.arch.tensors import Tensors, shorten
from npresnet.config import Decision

PREFIXES = ("backbone.body.", "backbone.", "encoder.", "encoder_q.", "model.", "module.")
DETECTION = r"^(backbone\.)?fpn\.|^rpn\.|^roi_heads\."
SEGMENTATION = r"^(aux_)?classifier\."


def select(tensors: Tensors) -> tuple[Tensors, dict[str, Decision]]:
    """The tensors of the ResNet alone, and the decisions that this selection settles.

    Backbones of torchvision's segmentation nets are dilated (`replace_stride_with_dilation=[False, True, True]`); their
    classifiers work on every pixel (convolutions) and are no part of a classification net.
    """
    tensors = _without_prefix(tensors)
    heads = tensors.matching(DETECTION)
    if heads:
        return tensors.without(heads), _ignored(heads, "the head of a detection net; this is its backbone")
    heads = tensors.matching(SEGMENTATION)
    if not any(len(tensors.shape(name)) == 4 for name in heads):
        return tensors, {}
    settled = _ignored(heads, "the head of a segmentation net; this is its backbone")
    if "layer4.0.conv3.weight" in tensors:
        note = "the backbone of a segmentation net, by torchvision's custom"
        settled["replace_stride_with_dilation"] = Decision([False, True, True], "inferred", note)
    return tensors.without(heads), settled


def _without_prefix(tensors: Tensors) -> Tensors:
    """Take the prefix off, where the stem bears one and some tensors outside do not."""
    if "conv1.weight" in tensors:
        return tensors
    for prefix in PREFIXES:
        if f"{prefix}conv1.weight" in tensors:
            return tensors.without_prefix(prefix)
    return tensors


def _ignored(names: list[str], note: str) -> dict[str, Decision]:
    modules = dict.fromkeys(".".join(name.split(".")[:2]) for name in names)
    return {"ignored": Decision(shorten(modules), "inferred", note)}
