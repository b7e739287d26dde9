"""ResNets for small images (CIFAR): a 3x3 stem of stride 1 and no max pool.

Three conventions, distinguished by the name of a block's projection:

    none        option A of He et al., section 4.2: strided identity between zero channels (depth 6n+2, `linear`)
    downsample  option B with torchvision's names, also torchvision's own networks with another conv1
    shortcut    option B, 64 channels, four stages, `linear`; its 4x4 average pool is a global one on 32x32 images
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from npresnet.arch.builder import Builder
from npresnet.arch.families.torchvision import ARCHS as LARGE
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.residual.build import build_residual
from npresnet.arch.residual.layout import OPTIONS, Layout
from npresnet.arch.residual.reading import has_projections, is_bottleneck, read_residual
from npresnet.arch.residual.stem import stem_side
from npresnet.arch.source import he_fan_in
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision

__all__ = ["ARCHS", "NAME", "OPTIONS", "build", "name_of", "named", "read", "signature"]

NAME = "cifar"
ANY = "cifar_resnet"  # the name of networks without a specific one
SMALL_STEM = "usual after a 3x3 stem"
OTHER_MEANS = "some nets for CIFAR were trained with another mean and std"
OPTION_A = "no projections: strided identity, channels of zeros on either side"
OTHER_A = ("shortcut='A-end'", "shortcut='A-pool'", "shortcut='none'")
OTHER_STEMS = ("stem_stride=2", "stem=[[3, 1, 2]]")
CIFAR, TINY = "cifar10", {"resize": 64, "crop": 64}
SIZES: Mapping[int | None, Any] = {10: CIFAR, 100: CIFAR, 200: TINY}  # by classes; Tiny ImageNet has 200

# He et al., section 4.2: the defaults of a network specified by its name.
USUAL: Options = {
    "shortcut": "A",
    "stem_kernel": 3,
    "stem_channels": 16,
    "stem_stride": 1,
    "max_pool": False,
    "classifier": "linear",
    "start": he_fan_in,
}


def _net(n: int) -> Options:
    """Three stages of n BasicBlocks, 6n+2 layers deep."""
    return {"block": "BasicBlock", "layers": [n, n, n], "groups": 1, "width_per_group": 64, "stem_kernel": 3}


ARCHS: Mapping[str, Options] = {f"cifar_resnet{depth}": _net(depth // 6) for depth in (20, 32, 44, 56, 110)}


def named(name: str) -> Options | None:
    """Any depth of 6n+2 from 8 on: cifar_resnet<depth>, also resnet<depth> where that is not one of torchvision's."""
    if name == ANY:
        return {}
    depth = re.fullmatch(r"(?:cifar_)?resnet([0-9]{1,4})", name)
    if name in LARGE or not depth or int(depth[1]) < 8 or int(depth[1]) % 6 != 2:
        return None
    return _net(int(depth[1]) // 6)


def signature(tensors: Tensors) -> bool:
    return stem_side(tensors) == 3


def read(tensors: Tensors) -> Reading:
    has_shortcut, has_downsample = has_projections(tensors, "shortcut"), has_projections(tensors, "downsample")
    option_a = not has_shortcut and not has_downsample and not is_bottleneck(tensors)
    settled = is_usual(tensors)
    option = {"shortcut": Decision("A", "default", OPTION_A, OTHER_A)}
    decisions, sizes = read_residual(
        tensors,
        Decision(NAME, "inferred"),
        labels=(10, "cifar10"),
        **(option if option_a else {}),
        stem_stride=Decision(1, "default", SMALL_STEM, () if settled else OTHER_STEMS),
        max_pool=Decision(False, "default", SMALL_STEM, () if settled else ("max_pool=True",)),
    )
    decisions.update(_for_small_images(decisions, settled))
    sizes["projection"] = "shortcut" if has_shortcut else "downsample"
    return Reading({"arch": Decision(name_of(decisions), "inferred"), **decisions}, sizes)


def is_usual(tensors: Tensors) -> bool:
    """Whether all networks in use with such tensors have a stem of stride 1 without a pool.

    Those of He et al. (three stages, from 16 channels on), and those of pytorch-cifar (`shortcut` and `linear`).
    torchvision's with another conv1, cut off after three stages or not, are made with a max pool and without, for
    images of 32x32, 64x64 and more.
    """
    cut_off = tensors.length("conv1.weight", 0, ndim=4) == 64 and has_projections(tensors, "downsample")
    three_stages = tensors.numbers_after("layer") == [1, 2, 3] and not cut_off
    return three_stages or (has_projections(tensors, "shortcut") and "linear.weight" in tensors)


def _for_small_images(decisions: Mapping[str, Decision], settled: bool) -> dict[str, Decision]:
    """Preprocessing and labels, by the number of classes; CIFAR's names only where nothing speaks against them."""
    if decisions["in_channels"].value != 3:
        return {}
    classes = decisions["num_classes"].value
    if settled:
        size, note = SIZES.get(classes, CIFAR), OTHER_MEANS
        labels = Decision("cifar10" if classes == 10 else None, "default")
    else:
        size = SIZES.get(classes, "V1")
        note = f"by custom for {classes} classes" if classes in SIZES else "the size is unknown"
        labels = Decision(None, "default", "nothing says that the ten classes are CIFAR-10's" if classes == 10 else "")
    others = [f"preprocess={other!r}" for other in (CIFAR, TINY) if other != size]
    return {
        "preprocess": Decision(size, "default", note, () if settled and size == CIFAR else tuple(others)),
        "labels": labels,
    }


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    return build_residual(builder, Layout.of({**USUAL, **options}))


def name_of(decisions: Mapping[str, Decision]) -> str:
    """cifar_resnet<6n+2>, or cifar_<one of torchvision's> for a network of that depth with a small stem."""
    large = name_in(LARGE, decisions)
    if large is not None:
        return f"cifar_{large}"
    n = decisions["layers"].value[0]
    return f"cifar_resnet{6 * n + 2}" if name_in({ANY: _net(n)}, decisions) else ANY
