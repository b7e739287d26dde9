"""The names of timm's networks without normalisation, and what each of them fixes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from npresnet.arch.family import Options

# 1 / standard deviation of act(x) for a normal x; numbers of DeepMind's published code.
GAMMA: Mapping[str, float] = {
    "relu": 1.7139588594436646,
    "gelu": 1.7015043497085571,
    "silu": 1.7881293296813965,
    "elu": 1.2716004848480225,
    "celu": 1.270926833152771,
    "selu": 1.0008515119552612,
    "leaky_relu": 1.70590341091156,
    "relu6": 1.7131484746932983,
    "tanh": 1.5939117670059204,
}


def divisible(number: float, divisor: int = 8, least_part: float = 0.9) -> int:
    """The nearest multiple of `divisor`, from `divisor` on and not below `least_part` of the number: timm's rule."""
    rounded = max(divisor, int(number + divisor / 2) // divisor * divisor)
    return rounded if rounded >= least_part * number else rounded + divisor


def _nfnet(layers: list[int], **changes: Any) -> Options:
    """NFNet-F."""
    usual = {
        "layers": layers,
        "channels": [256, 512, 1536, 1536],
        "stem_type": "deep",
        "stem_channels": 128,
        "group_size": 128,
        "bottle_ratio": 0.5,
        "extra_conv": True,
        "features": 3072,
        "attention": "se",
        "reduction": 0.5,
        "activation": "gelu",
        "skipinit": False,
    }
    return {**usual, **changes}


def _light(layers: list[int], features: int = 3072, **changes: Any) -> Options:
    """The narrower NFNet-L."""
    own = {"group_size": 64, "bottle_ratio": 0.25, "features": features, "reduction": 0.25, "activation": "silu"}
    return _nfnet(layers, **{**own, **changes})


def _deepmind(n: int) -> Options:
    return _nfnet([n, 2 * n, 6 * n, 3 * n], skipinit=True, gamma_in_activation=True, same_padding=True)


def _regnet(layers: list[int], channels: Sequence[int]) -> Options:
    widths = [divisible(0.75 * width) for width in channels]
    return {
        "layers": layers,
        "channels": widths,
        "stem_type": "3x3",
        "stem_channels": widths[0],
        "group_size": 8,
        "bottle_ratio": 2.25,
        "expands_input": True,
        "features": divisible(0.75 * (1280 * channels[-1] // 440)),
        "attention": "se",
        "reduction": 0.5,
        "activation": "silu",
        "skipinit": False,
    }


def _resnet(layers: list[int], attention: str = "none") -> Options:
    return {
        "layers": layers,
        "channels": [256, 512, 1024, 2048],
        "stem_type": "7x7",
        "stem_channels": 64,
        "bottle_ratio": 0.25,
        "attention": attention,
        "reduction": 1 / 16,
        "activation": "relu",
        "skipinit": False,
    }


_DEPTHS = {26: [2, 2, 2, 2], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3]}
_KINDS = {"nf_resnet": "none", "nf_seresnet": "se", "nf_ecaresnet": "eca"}
ARCHS: Mapping[str, Options] = {
    **{f"dm_nfnet_f{i}": _deepmind(i + 1) for i in range(7)},
    **{f"nfnet_f{i}": _nfnet([n, 2 * n, 6 * n, 3 * n]) for i, n in enumerate(range(1, 9))},
    "nfnet_l0": _light([1, 2, 6, 3], 2304),
    "eca_nfnet_l0": _light([1, 2, 6, 3], 2304, attention="eca"),
    "eca_nfnet_l1": _light([2, 4, 12, 6], attention="eca"),
    "eca_nfnet_l2": _light([3, 6, 18, 9], attention="eca"),
    "eca_nfnet_l3": _light([4, 8, 24, 12], attention="eca"),
    "nf_regnet_b0": _regnet([1, 3, 6, 6], (48, 104, 208, 440)),
    "nf_regnet_b1": _regnet([2, 4, 7, 7], (48, 104, 208, 440)),
    "nf_regnet_b2": _regnet([2, 4, 8, 8], (56, 112, 232, 488)),
    "nf_regnet_b3": _regnet([2, 5, 9, 9], (56, 128, 248, 528)),
    "nf_regnet_b4": _regnet([2, 6, 11, 11], (64, 144, 288, 616)),
    "nf_regnet_b5": _regnet([3, 7, 14, 14], (80, 168, 336, 704)),
    **{f"{kind}{depth}": _resnet(layers, gate) for kind, gate in _KINDS.items() for depth, layers in _DEPTHS.items()},
    "test_nfnet": _light([1, 1, 1, 1], 192, channels=[32, 64, 96, 128], group_size=8),
}

MEAN_HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


def _sizes(crop: int, part: float = 0.9, *, squash: bool = False) -> dict[str, Any]:
    """The crop, and the whole of which it is a part; `squash` ignores the image's aspect."""
    resize = int(crop / part)
    return {"resize": [resize, resize] if squash else resize, "crop": crop, "interpolation": "bicubic"}


USUAL_SIZES = _sizes(224)
SIZES: Mapping[str, dict[str, Any]] = {
    "dm_nfnet_f0": _sizes(192, 0.9, squash=True),
    "dm_nfnet_f1": _sizes(224, 0.91, squash=True),
    "dm_nfnet_f2": _sizes(256, 0.92, squash=True),
    "dm_nfnet_f3": _sizes(320, 0.94, squash=True),
    "dm_nfnet_f4": _sizes(384, 0.951, squash=True),
    "dm_nfnet_f5": _sizes(416, 0.954, squash=True),
    "dm_nfnet_f6": _sizes(448, 0.956, squash=True),
    "eca_nfnet_l1": _sizes(256),
    "eca_nfnet_l2": _sizes(320),
    "nf_regnet_b1": _sizes(256),
    "nf_resnet50": _sizes(256, 0.94),
    "test_nfnet": {**_sizes(160, 0.95), **MEAN_HALF},
}
