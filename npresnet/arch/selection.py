"""Which of a file's tensors are the ResNet: no prefix, no heads of other tasks. What is left out is written down."""

from __future__ import annotations

import re

from npresnet.arch.foreign import are_plain
from npresnet.arch.tensors import Tensors, shorten
from npresnet.config import Decision

# Task: the names that belong to it and not to its backbone.
DETECTION = r"^(backbone\.)?fpn\.|^rpn\.|^roi_heads\.|^head\.(classification|regression)_head\."
CONTRASTIVE = r"^queue(_ptr)?$"
PROJECTION = r"^fc\.|^encoder_k\.|^queue"
SEGMENTATION = r"^(aux_)?classifier\."


def select(tensors: Tensors) -> tuple[Tensors, dict[str, Decision]]:
    """The tensors of the ResNet alone, and the decisions that this selection settles.

    Backbones of torchvision's segmentation nets are dilated (`replace_stride_with_dilation=[False, True, True]`); their
    classifiers work on every pixel (convolutions) and are no part of a classification net. The fc of a contrastive
    training (MoCo) projects into the space of its loss and classifies nothing.
    """
    if are_plain(tensors):
        return tensors, {}
    tensors, prefix = _without_prefix(tensors)
    tensors, heads = _without_heads(tensors)
    return tensors, prefix | heads


def _without_prefix(tensors: Tensors) -> tuple[Tensors, dict[str, Decision]]:
    """Take off whatever stands before the stem and the first block alike, where that is one and the same prefix."""
    if "conv1.weight" in tensors:
        return tensors, {}
    blocks = tensors.matching(r"\.layer1\.0\.conv1\.weight$")
    prefix = blocks[0].removesuffix("layer1.0.conv1.weight") if len(blocks) == 1 else ""
    if not prefix or not tensors.matching(rf"^{re.escape(prefix)}conv1\.(weight$|0\.)"):
        return tensors, {}
    return tensors.without_prefix(prefix), {"prefix": Decision(prefix, "inferred", "taken off the tensors' names")}


def _without_heads(tensors: Tensors) -> tuple[Tensors, dict[str, Decision]]:
    heads = tensors.matching(DETECTION)
    if heads:
        return tensors.without(heads), _ignored(heads, "the head of a detection net; this is its backbone")
    if tensors.matching(CONTRASTIVE):
        heads = tensors.matching(PROJECTION)
        return tensors.without(heads), _ignored(heads, "of a contrastive training; this is the net it trained")
    heads = tensors.matching(SEGMENTATION)
    if not any(len(tensors.shape(name)) == 4 for name in heads):
        return tensors, {}
    settled = _ignored(heads, "the head of a segmentation net; this is its backbone")
    if "layer4.0.conv3.weight" in tensors:
        note = "the backbone of a segmentation net, by torchvision's custom"
        settled["replace_stride_with_dilation"] = Decision([False, True, True], "inferred", note)
    return tensors.without(heads), settled


def _ignored(names: list[str], note: str) -> dict[str, Decision]:
    modules = dict.fromkeys(".".join(name.split(".")[:2]) for name in names)
    return {"ignored": Decision(shorten(modules), "inferred", note)}
