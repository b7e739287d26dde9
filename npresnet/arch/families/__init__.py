"""The families of networks, one file each; `family.Family` is the interface of such a file.

A new family is a file here (and others with its tables, reading and topology where one would be long) and its name in
FAMILIES. The shared parts of residual networks are in `arch/residual`, those of classifiers in `arch/head`.

A family that is told by names of its own is Deferred: its module is imported when a file has such a name, or when all
names or options are asked for, so that other files load without it. So are those that look like the first ones but for
some shapes: they are asked when these have declined.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from npresnet.arch.families import timm, torchvision
from npresnet.arch.family import Family
from npresnet.arch.residual import blocks
from npresnet.arch.tensors import Tensors


class Deferred:
    """A family in the module of its name, which `may_have` tells by the names of tensors without importing it."""

    def __init__(self, name: str, may_have: Callable[[Tensors], bool]):
        self.NAME = name
        self._may_have = may_have

    def signature(self, tensors: Tensors) -> bool:
        return self._may_have(tensors) and bool(self.__getattr__("signature")(tensors))

    def __getattr__(self, attribute: str) -> Any:
        """Everything else is the module's."""
        return getattr(import_module(f"{__name__}.{self.NAME}"), attribute)


def has_three_axes(tensors: Tensors, conv: str) -> bool:
    """Whether this is the weight of a 3-D convolution."""
    return len(tensors.shape_of(conv) or ()) == 5


def _deferred(name: str, *marks: str) -> Family:
    """A family that has a tensor of one of these names."""
    return cast(Family, Deferred(name, lambda tensors: any(mark in tensors for mark in marks)))


FAMILIES: tuple[Family, ...] = (  # the first match counts
    torchvision,
    timm,
    cast(Family, Deferred("handwritten", lambda tensors: True)),
    cast(Family, Deferred("cifar", lambda tensors: True)),
    _deferred("resnetv2", "stages.0.blocks.0.conv1.weight"),
    _deferred("nfnet", "stages.0.0.conv1.gain"),
    _deferred("senet", "layer0.conv1.weight"),
    cast(Family, Deferred("preact", lambda tensors: True)),  # names of four conventions
    _deferred("tresnet", "body.conv1.conv.weight"),
    cast(Family, Deferred("video", lambda tensors: has_three_axes(tensors, "stem.0.weight"))),
    cast(Family, Deferred("resnet3d", lambda tensors: has_three_axes(tensors, "conv1.weight"))),
    _deferred("detect_and_track", "conv1_w"),
    _deferred("sk", *blocks.SELECTIVE),
    _deferred("resnest", blocks.SPLIT_ATTENTION),
    _deferred("res2net", blocks.RES2),
    cast(Family, Deferred("ibn", blocks.are_ibn)),
    _deferred("clip", blocks.CLIP),
    _deferred("iresnet", blocks.FACE),
    _deferred("byob", *blocks.CONFIGURED),
    _deferred("csp", blocks.CSP),
    _deferred("keras_v2", "conv2_block1_preact_bn.weight"),
)

__all__ = ["FAMILIES"]
