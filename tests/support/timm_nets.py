"""Small networks of timm's classes, with the parts that tell its families apart; made random like trained ones."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.support.reference import arrays_of
from tests.support.torchvision_import import import_timm

torch = pytest.importorskip("torch", reason="torch is not installed")
nn = torch.nn

CLASSES = 10


def resnetv2(*, standardised: bool = False, norm: str = "BatchNormAct2d", **options: Any):
    """Two stages; 32 channels at least, because GroupNorm has 32 groups."""
    import_timm()
    from timm import layers
    from timm.models.resnetv2 import ResNetV2

    conv = partial(layers.StdConv2d, eps=1e-8) if standardised else layers.create_conv2d
    usual = {"layers": (1, 2), "channels": (128, 256), "stem_chs": 64, "num_classes": CLASSES}
    return ResNetV2(**{**usual, "conv_layer": conv, "norm_layer": getattr(layers, norm), **options})


def nfnet(**fields: Any):
    import_timm()
    from timm.models.nfnet import NfCfg, NormFreeNet

    usual = {"depths": (1, 2), "channels": (32, 48), "stem_chs": 32, "attn_kwargs": {}}
    return NormFreeNet(NfCfg(**{**usual, **fields}), num_classes=CLASSES)


def senet(block: str, **options: Any):
    import_timm()
    from timm.models import senet as module

    usual = {"layers": (2, 1, 1, 1), "groups": 1, "reduction": 16, "num_classes": CLASSES}
    return module.SENet(getattr(module, block), **{**usual, **options})


def tresnet(**options: Any):
    import_timm()
    from timm.models.tresnet import TResNet

    return TResNet(**{"layers": [1, 2, 1, 1], "width_factor": 0.25, "num_classes": CLASSES, **options})


DEEP = {"stem_type": "deep", "avg_down": True}
GN = "GroupNormAct"
NF_SE = {"attn_layer": "se", "attn_kwargs": {"rd_ratio": 0.5}}
NETS = {
    "resnetv2": partial(resnetv2),
    "resnetv2, basic": partial(resnetv2, basic=True, bottle_ratio=1.0, channels=(64, 128)),
    "resnetv2, tiered": partial(resnetv2, stem_type="tiered", avg_down=True),
    "resnetv2, GroupNorm": partial(resnetv2, norm=GN, **DEEP),
    "resnetv2, EvoNorm": partial(resnetv2, norm="EvoNorm2dS0", **DEEP),
    "resnetv2, FRN": partial(resnetv2, norm="FilterResponseNormTlu2d", **DEEP),
    "BiT": partial(resnetv2, norm=GN, standardised=True, stem_type="fixed"),
    "NF-ResNet": partial(nfnet, stem_type="7x7_pool", bottle_ratio=0.25, act_layer="relu"),
    "NF-ECA-ResNet": partial(nfnet, stem_type="7x7_pool", bottle_ratio=0.25, act_layer="relu", attn_layer="eca"),
    "NF-RegNet": partial(nfnet, reg=True, group_size=8, bottle_ratio=2.25, num_features=64, **NF_SE),
    "NFNet": partial(nfnet, stem_type="deep_quad", extra_conv=True, group_size=8, num_features=64, **NF_SE),
    "NFNet, DeepMind": partial(
        nfnet,
        stem_type="deep_quad",
        extra_conv=True,
        group_size=8,
        num_features=64,
        act_layer="gelu",
        gamma_in_act=True,
        same_padding=True,
        skipinit=True,
        **NF_SE,
    ),
    "SE-ResNet, basic": partial(senet, "SEResNetBlock"),
    "SE-ResNet": partial(senet, "SEResNetBottleneck"),
    "SE-ResNeXt": partial(senet, "SEResNeXtBottleneck", groups=32),
    "SENet": partial(
        senet, "SEBottleneck", groups=64, inplanes=128, input_3x3=True, downsample_kernel_size=3, downsample_padding=1
    ),
    "TResNet": partial(tresnet),
    "TResNet-v2": partial(tresnet, v2=True),
}


def small(name: str, *, seed: int = 0):
    """A network of NETS in eval mode, and its state_dict as {name: ndarray}."""
    torch.manual_seed(seed)
    return randomised(NETS[name](), seed=seed)


def randomised(module, *, seed: int = 0):
    """All affine parameters, gains, biases and statistics random; filters without a mean of 0."""
    noise = torch.Generator().manual_seed(seed)

    def uniform(tensor, low: float, high: float) -> None:
        tensor.uniform_(low, high, generator=noise)

    with torch.no_grad():
        for part in module.modules():
            if hasattr(part, "running_var"):
                part.running_mean.normal_(0, 0.3, generator=noise)
                uniform(part.running_var, 0.5, 2.0)
            for role, parameter in part._parameters.items():
                if parameter is None:
                    continue
                if role in ("gain", "skipinit_gain", "v") or (role == "weight" and parameter.ndim == 1):
                    uniform(parameter, 0.5, 1.5)
                elif role in ("bias", "tau"):
                    uniform(parameter, -0.3, 0.3)
                elif hasattr(part, "eps"):  # standardised filters
                    parameter += 0.1 * torch.rand(len(parameter), 1, 1, 1, generator=noise)
                elif isinstance(part, nn.Linear):
                    parameter.normal_(0, parameter.shape[1] ** -0.5, generator=noise)
    return module.eval(), arrays_of(module)


def in_double(tensors):
    """The floating-point arrays in float64: standardised filters are then not rounded to float32."""
    return {name: array.astype("float64") if array.dtype.kind == "f" else array for name, array in tensors.items()}
