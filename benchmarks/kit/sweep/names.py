"""Which architectures of timm and torchvision are ResNets.

A ResNet here is a network of residual blocks of convolutions in stages, ending in a pool and a classifier: the plain
ones, and those with other stems, shortcuts, orders, norms, gates, splits or axes. Attention between positions makes
another network of it, and so do the other blocks of timm's mixed modules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

# module of timm -> the names of its ResNets
TIMM = {
    "resnet": "",
    "resnetv2": "",
    "senet": "",
    "sknet": "",
    "resnest": "",
    "res2net": "",
    "nfnet": "",
    "tresnet": "",
    "byobnet": "resne|^gernet|^test_byobnet",
    "cspnet": "^cspres",
    "dla": "res2ne",
}
# modules with "resnet" in their names, and why they are not ResNets
NOT_RESNETS = {
    "vision_transformer_hybrid": "a vision transformer on a ResNet's stages",
    "byoanet": "attention between positions instead of convolutions (botnet, halonet, lambda)",
    "inception_resnet_v2": "Inception's branches",
}
TORCHVISION = r"^(quantized_)?(wide_)?resne(x)?t[0-9]|^(r3d|mc3|r2plus1d)_18$"


class Name(NamedTuple):
    """An architecture: "timm" or "torchvision", the module that defines it, its name."""

    library: str
    module: str
    name: str


def is_resnet(found: Name) -> bool:
    if found.library == "torchvision":
        return re.search(TORCHVISION, found.name) is not None
    return found.module in TIMM and re.search(TIMM[found.module], found.name) is not None


def all_names() -> Iterator[Name]:
    """Every architecture of both libraries; imports them."""
    from tests.support.torchvision_import import import_timm, import_torchvision

    models, timm = import_torchvision().models, import_timm()
    for name in models.list_models():
        module = models.get_model_builder(name).__module__
        yield Name("torchvision", module.removeprefix("torchvision.models."), name)
    for name in timm.list_models():
        yield Name("timm", timm.models.model_entrypoint(name).__module__.rpartition(".")[2], name)


def resnets() -> list[Name]:
    return [found for found in all_names() if is_resnet(found)]
