"""CLIP's modified ResNets, in OpenAI's names, also open_clip's: the tower that reads images.

Recognised by `attnpool.positional_embedding`. Three differences from torchvision's (Radford et al. 2021, section 2.4):
a stem of three convolutions and an average pool; strides in average pools, after the 3x3 and before the projections;
and an attention pool at the end. Its result is the embedding that CLIP compares with a text's, before normalisation.
"""

from __future__ import annotations

from collections.abc import Mapping

from npresnet.arch.builder import Builder
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.options import Option, count
from npresnet.arch.residual.attention_pool import OPENAI, attention_pool, preprocessing, read_size
from npresnet.arch.residual.blocks import CLIP
from npresnet.arch.residual.build import build_body
from npresnet.arch.residual.layout import Layout
from npresnet.arch.residual.options import without
from npresnet.arch.residual.reading import read_residual
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision

__all__ = ["ARCHS", "NAME", "OPTIONS", "build", "named", "read", "signature"]

NAME = "clip"
ANY = "clip_resnet"  # the name of networks without a specific one
POOLED = "by CLIP's attention pool, before normalisation: features of 'layer4' are those before the pool"
CUSTOM = "CLIP's average pools"
TRAINED = "CLIP's own: the position embedding is for images of this size"
NO_LABELS = (0, "")
FIXED = {"block": "Bottleneck", "downsample": "avg", "antialias": "avg"}
LACKS = (
    "max_pool",
    "head_activation",
    "global_pool",
    "scores",
)  # its pools are average pools, its end is the attention pool
OPTIONS: Mapping[str, Option] = {
    **without(*LACKS),
    "embedding": count("topology"),
    "image_size": count("topology"),
}


def _net(layers: list[int], embedding: int, size: int, width: int = 64) -> Options:
    stem = {"stem_kernel": 3, "stem_widths": [width // 2, width // 2, width]}
    return {**FIXED, "layers": layers, "embedding": embedding, "image_size": size, **stem}


ARCHS: Mapping[str, Options] = {
    "clip_rn50": _net([3, 4, 6, 3], 1024, 224),
    "clip_rn101": _net([3, 4, 23, 3], 512, 224),
    "clip_rn50x4": _net([4, 6, 10, 6], 640, 288, 80),
    "clip_rn50x16": _net([6, 8, 18, 8], 768, 384, 96),
    "clip_rn50x64": _net([3, 15, 36, 10], 1024, 448, 128),
}


def named(name: str) -> Options | None:
    """The listed names, OpenAI's without "clip_" (RN50), and "clip_resnet" for any network."""
    return {} if name == ANY else ARCHS.get(name) or ARCHS.get(f"clip_{name.lower()}")


def signature(tensors: Tensors) -> bool:
    return CLIP in tensors and "layer1.0.conv1.weight" in tensors


def read(tensors: Tensors) -> Reading:
    size = read_size(tensors, OPENAI)
    features = tensors.length(f"{OPENAI.proj}.weight", 0, ndim=2)
    known = {
        "num_classes": Decision(None, "inferred", "no classifier: an embedding"),
        "downsample": Decision("avg", "default", CUSTOM),
        "antialias": Decision("avg", "default", CUSTOM),
        "embedding": Decision(features, "inferred", POOLED),
        "image_size": Decision(size, "inferred"),
        "preprocess": Decision(preprocessing(size), "default", TRAINED),
    }
    body = tensors.without(tensors.matching(rf"^{OPENAI.node}\."))
    decisions, sizes = read_residual(body, Decision(NAME, "inferred"), labels=NO_LABELS, **known)
    decisions = {option: decision for option, decision in decisions.items() if option not in LACKS}
    decisions = {"family": decisions["family"], "stem_widths": Decision(sizes["stem_widths"], "inferred"), **decisions}
    name = Decision(name_in(ARCHS, decisions) or ANY, "inferred")
    return Reading({"arch": name, **decisions}, {**sizes, "modules": ()})


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    """The output is the embedding."""
    size = options["image_size"]
    extra = {"planes": options["stem_widths"][-1]}
    x = build_body(builder, Layout.of({**options, "num_classes": None, "extra": extra}))
    return {"embedding": attention_pool(builder, x, OPENAI, size=size, out_features=options["embedding"])}
