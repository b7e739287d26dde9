"""All other architectures of timm and torchvision, by names and shapes alone: refused, and by which name?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.kit.sweep.names import NOT_RESNETS, Name, is_resnet
from benchmarks.kit.sweep.verdicts import Record

# A word of a refusal -> the modules of which it may be said; of others it is a wrong name.
VISION_TRANSFORMERS = (
    "vit|beit|vision_transformer|cait|deit|eva|xcit|pvt|twins|volo|tnt|coat|nest|hiera|visformer|swin|^pit$"
)
RIGHT: dict[str, str] = {
    "hybrid": "hybrid|levit|vit|former",
    "byoanet": "^byo[ab]net$",
    "MobileViT": "mobilevit|^byobnet$",  # timm builds some of them from byobnet's blocks
    "DenseNet": "densenet|^rdnet$",  # "revitalized"
    "byobnet": "^byobnet$",
    "cross-stage": "^cspnet$",
    "RegNetZ": "^byobnet$",
    "Inception": "inception|googlenet",
    "InceptionNeXt": "^inception_next$",
    "MaxViT": "^maxx?vit$",
    "CoAtNet": "^maxxvit$",
    "Swin": "swin",
    "MLP": "mlp",
    "MetaFormer": "metaformer",
    "Ghost": "ghost",
    "EfficientNet or MobileNet": "efficientnet|mobilenet|mnasnet|tinynet",
    "ShuffleNet": "shufflenet",
    "NASNet": "nasnet",
    "VGG, AlexNet or SqueezeNet": "vgg|alexnet|squeezenet",
    "vision transformer": VISION_TRANSFORMERS,
    "video": "^video",
}
HEADS = r"\.(detection|segmentation)\."  # networks around a backbone, which may be a ResNet


def judge_strangers() -> list[Record]:
    """One record a module: how many of its architectures are refused, and under which names."""
    from tools.refusals import architectures

    found: dict[tuple[str, str], Record] = {}
    for module, name, network in architectures():
        library = module.partition(".")[0]
        short = module.removeprefix("torchvision.models.").removeprefix("timm.models.")
        if is_resnet(Name(library, short, name)) or re.search(HEADS, module):
            continue
        shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
        entry = found.setdefault((library, short), _empty(library, short))
        _add(entry, name, {key: np.broadcast_to(np.float32(0), shape) for key, shape in shapes.items()})
    return [found[key] for key in sorted(found)]


def _empty(library: str, module: str) -> Record:
    why = {"why": NOT_RESNETS[module]} if module in NOT_RESNETS else {}
    return {"library": library, "module": module, **why, "refused": {}, "unnamed": 0, "built": [], "names": 0}


def _add(entry: Record, name: str, tensors: dict[str, Any]) -> None:
    from npresnet import arch
    from npresnet.errors import ArchitectureError

    entry["names"] += 1
    try:
        arch.build(tensors)
    except ArchitectureError as error:
        family = family_named(str(error))
        if family is None:
            entry["unnamed"] += 1
        else:
            entry["refused"][family] = entry["refused"].get(family, 0) + 1
    else:
        entry["built"].append(name)


def family_named(message: str) -> str | None:
    """The family that a refusal names, or None."""
    found = re.search(r"this looks like (.*?), which is not supported", message, re.DOTALL)
    return found[1] if found else None


def wrong_names(entry: Mapping[str, Any]) -> dict[str, int]:
    """{family: networks that are called by it and are not of it} of one module."""
    return {family: count for family, count in entry["refused"].items() if not is_right(family, entry["module"])}


def is_right(family: str, module: str) -> bool:
    """Whether this is a name for the networks of this module: by RIGHT, or because the module is called so."""
    words = [module_pattern for word, module_pattern in RIGHT.items() if word in family]
    names = [word.lower() for word in re.findall(r"[A-Za-z0-9]{3,}", family)]
    plain = module.replace("_", "").lower()
    return any(re.search(pattern, module) for pattern in words) or any(name in plain for name in names)
