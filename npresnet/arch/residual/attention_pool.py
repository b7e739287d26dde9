"""CLIP's attention pool in place of a global average pool: read from a file, and added to a network.

Its position embedding has a row for the mean and one for every position of the last map, so that it tells the size of
the images: 32 times the side of that map. A head of it has 64 channels, as in all networks in use; tensors cannot tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from npresnet.arch.builder import Builder
from npresnet.arch.source import CHANNEL_AXES, LINEAR_AXES, Init, Shape, Start, Wanted, uniform_fan_in, zeros
from npresnet.arch.tensors import Tensors
from npresnet.errors import ArchitectureError
from npresnet.network import Array

HEAD_CHANNELS = 64
STRIDE = 32  # of the network before it
POSITION_AXES = ("1 + height*width", "channels")
# Radford et al. 2021; openai/CLIP, clip/clip.py
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class Names(NamedTuple):
    """The names of its tensors and layers in a file, and of its node."""

    node: str
    pos_embed: str
    q: str
    k: str
    v: str
    proj: str


OPENAI = Names("attnpool", *(f"attnpool.{name}" for name in "positional_embedding q_proj k_proj v_proj c_proj".split()))
TIMM = Names("head.pool", *(f"head.{name}" for name in "pos_embed q k v proj".split()))


def read_size(tensors: Tensors, names: Names) -> int:
    """The side of the images. Raises ArchitectureError where the positions are not those of a square."""
    positions = (tensors.length(names.pos_embed, 0, ndim=2) or 0) - 1
    side = math.isqrt(max(positions, 0))
    if side < 1 or side * side != positions:
        raise ArchitectureError(
            f"{names.pos_embed} has {positions + 1} rows, but should have one for the mean and one for each position "
            f"of a square map, as in CLIP: 50 for images of 224 x 224"
        )
    return side * STRIDE


def preprocessing(size: int) -> Mapping[str, object]:
    """CLIP's: the short side to `size` by bicubic interpolation, the central square, its mean and std."""
    return {"resize": size, "crop": size, "mean": list(MEAN), "std": list(STD), "interpolation": "bicubic"}


def attention_pool(builder: Builder, x: str, names: Names, *, size: int, out_features: int | None) -> str:
    """The pool as a node called `names.node`: (C, H, W) -> (out_features,); `size` as for `read_size`."""
    channels = builder.channels[x]
    found = builder.source.shape_of(f"{names.q}.weight")
    inside = found[0] if found else channels
    positions = (size // STRIDE) ** 2 + 1

    def take(name: str, shape: Shape, axes: tuple[str, ...], start: Start) -> Array:
        return builder.source.take(
            Wanted(name, shape, axes, start, lambda: f"  input   (N, {channels}, H, W) from {x}")
        )

    params = {"pos_embed": take(names.pos_embed, (positions, channels), POSITION_AXES, _small)}
    wide = {"q": (inside, channels), "k": (inside, channels), "v": (inside, channels)}
    if out_features is not None:
        wide["proj"] = (out_features, inside)
    for role, shape in wide.items():
        layer, start = getattr(names, role), uniform_fan_in(shape[1])
        params[f"{role}_weight"] = take(f"{layer}.weight", shape, LINEAR_AXES, start)
        if not builder.source.is_file or f"{layer}.bias" in builder.source:
            params[f"{role}_bias"] = take(f"{layer}.bias", shape[:1], CHANNEL_AXES, zeros)
    if inside % HEAD_CHANNELS:
        raise ArchitectureError(
            f"{names.q}.weight has {inside} rows, which are no whole number of heads of {HEAD_CHANNELS} channels"
        )
    attrs = {"num_heads": inside // HEAD_CHANNELS}
    return builder.operation(names.node, "attention_pool2d", [x], out_features or inside, attrs=attrs, params=params)


def _small(shape: Shape) -> Init:
    return Init("normal", shape[-1] ** -0.5)
