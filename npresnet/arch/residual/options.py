"""The options of residual networks, with the names of torchvision's ResNet constructor where it has them."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from npresnet.arch.head.build import OPTIONS as HEAD_OPTIONS
from npresnet.arch.options import Option, count, flag, is_bool, is_list_of, is_positive, is_whole, one_of
from npresnet.arch.residual.stem import is_pool, is_stem

ACTIVATIONS = ("relu", "leaky_relu", "silu", "gelu", "relu6", "hard_swish", "elu", "selu", "mish", "tanh", "none")
SHORTCUTS = ("B", "A", "A-end", "A-pool", "none")


def is_eps(value: Any) -> bool:
    """0 is valid: a FrozenBatchNorm of detectors adds nothing to the variance."""
    return is_positive(value) or (type(value) is not bool and isinstance(value, Real) and value == 0)


def is_activation(value: Any) -> bool:
    """A name, or [name, slope] of a leaky ReLU."""
    if isinstance(value, (list, tuple)) and len(value) == 2 and value[0] == "leaky_relu":
        return type(value[1]) is not bool and isinstance(value[1], Real)
    return isinstance(value, str) and value in ACTIVATIONS


OPTIONS: Mapping[str, Option] = {
    "stem": Option(is_stem, "a list of [kernel_size, stride, padding], one for each convolution of the stem", "free"),
    "stem_stride": Option(lambda value: is_whole(value) and value in (1, 2), "1 or 2", "free"),
    "max_pool": Option(is_pool, "True, False, or [kernel_size, stride, padding, ceil_mode]", "free"),
    "stride_on": one_of("1x1", "3x3", role="free"),
    "replace_stride_with_dilation": Option(
        is_list_of(is_bool), "a list of True or False for each stage but the first", "free"
    ),
    "output_stride": Option(lambda value: is_whole(value) and value in (8, 16, 32), "8, 16 or 32", "free"),
    "last_stride": Option(lambda value: is_whole(value) and value in (1, 2), "1 or 2", "free"),
    "shortcut": one_of(*SHORTCUTS, role="seen"),
    "activation": Option(is_activation, f"one of {', '.join(ACTIVATIONS)}, or ['leaky_relu', slope]", "free"),
    "antialias": one_of("none", "blur", "avg", role="free"),
    "bn_eps": Option(is_eps, "a number from 0 on", "free"),
    "norm_groups": count("free"),
    **HEAD_OPTIONS,
    "zero_init_residual": flag("start"),
    "block": one_of("BasicBlock", "Bottleneck", role="topology"),
    "layers": Option(is_list_of(is_whole), "a list of whole numbers, the blocks of each stage", "topology"),
    "groups": count("size"),
    "width_per_group": count("size"),
    "downsample": one_of("conv", "avg", role="topology"),
    "attention": one_of("none", "se", "eca", "cbam", "gc", role="topology"),
    "norm": one_of("batch_norm", "group_norm", role="topology"),
}


def without(*names: str) -> Mapping[str, Option]:
    """The options of families whose networks lack what these are about."""
    return {name: option for name, option in OPTIONS.items() if name not in names}
