"""Networks of a few channels with every kind of block, by timm and by `torch_blocks`, and what is read from them."""

from __future__ import annotations

from dataclasses import replace

from tests.support.torch_blocks import ClipNet, FaceNet, Net
from tests.support.torchvision_import import import_timm

SIZE = 64
DEEP = {"stem_type": "deep", "stem_width": 4, "avg_down": True}


def timm_resnet(block, module: str, **options):
    """timm's ResNet of few channels."""
    import_timm()
    from timm.models import res2net, resnest, resnet, sknet

    owner = {"sknet": sknet, "resnest": resnest, "res2net": res2net, "resnet": resnet}[module]
    sizes = {"layers": (1, 2, 1, 1), "channels": (8, 16, 16, 16), "num_classes": 5, "stem_width": 8}
    return resnet.ResNet(getattr(owner, block), **{**sizes, **options})


def sk(block: str, split: bool, **options):
    return timm_resnet(block, "sknet", block_args={"sk_kwargs": {"split_input": split}}, **options)


def nest(radix: int, cardinality: int = 1, *, first: bool = False):
    args = {"radix": radix, "avd": True, "avd_first": first}
    widths = {"cardinality": cardinality, "base_width": 64 // cardinality}
    return timm_resnet("ResNestBottleneck", "resnest", block_args=args, **widths, **DEEP)


def res2(scale: int, cardinality: int = 1, **options):
    widths = {"cardinality": cardinality, "base_width": 32}
    return timm_resnet("Bottle2neck", "res2net", block_args={"scale": scale}, **widths, **options)


def gated(attention: str):
    return timm_resnet("BasicBlock", "resnet", block_args={"attn_layer": attention})


def byob(name: str, **changes):
    """One of timm's configurations with a few channels and blocks."""
    import_timm()
    from timm.models import byobnet

    cfg = byobnet.model_cfgs[name]
    blocks = tuple(replace(b, d=1 + i % 2, c=32 * (i + 1), gs=b.gs and 8) for i, b in enumerate(cfg.blocks))
    options = {"num_classes": 5, "img_size": SIZE}
    return byobnet.ByobNet(replace(cfg, blocks=blocks, width_factor=1.0, stem_chs=(8, 8, 16), **changes), **options)


def csp():
    import_timm()
    from timm.models import cspnet

    cfg = cspnet.model_cfgs["cspresnext50"]
    small = replace(cfg.stages, depth=(1, 2), out_chs=(16, 32), stride=(1, 2), groups=(2, 2))
    return cspnet.CspNet(replace(cfg, stem=replace(cfg.stem, out_chs=8), stages=small), num_classes=5)


def all_kinds():
    return import_timm().create_model("test_byobnet", num_classes=5)


NETS = {
    "sk, split": (lambda: sk("SelectiveKernelBasic", True), {"family": "sk", "split_input": True, "groups": 1}),
    "sk, Bottleneck": (lambda: sk("SelectiveKernelBottleneck", True, **DEEP), {"split_input": True, "groups": 1}),
    "sk, groups": (
        lambda: sk("SelectiveKernelBottleneck", False, cardinality=4, base_width=32),
        {"split_input": False, "groups": 4, "width_per_group": 32},
    ),
    "resnest, radix 2": (lambda: nest(2), {"family": "resnest", "radix": 2, "groups": 1, "avd": "last"}),
    "resnest, radix 1": (lambda: nest(1, 4, first=True), {"radix": 1, "groups": 4, "avd": "first"}),
    "resnest, radix 4": (lambda: nest(4, 2, first=True), {"radix": 4, "groups": 2, "avd": "first"}),
    "res2net": (lambda: res2(4), {"family": "res2net", "scale": 4, "groups": 1, "width_per_group": 32}),
    "res2next": (lambda: res2(3, 2, **DEEP), {"scale": 3, "groups": 2, "downsample": "avg"}),
    "cbam, timm": (lambda: gated("cbam"), {"family": "timm", "attention": "cbam"}),
    "gc, timm": (lambda: gated("gc"), {"attention": "gc"}),
    "gca, timm": (lambda: gated("gca"), {"attention": "gc"}),
    "cbam": (lambda: Net("cbam"), {"family": "timm", "attention": "cbam"}),
    "cbam, channels": (lambda: Net("cbam, channels"), {"attention": "cbam"}),
    "ca, sa": (lambda: Net("ca, sa"), {"attention": "cbam"}),
    "ibn a": (lambda: Net("ibn a"), {"family": "ibn", "ibn": "a"}),
    "ibn b": (lambda: Net("ibn b"), {"family": "ibn", "ibn": "b"}),
    "clip": (ClipNet, {"family": "clip", "embedding": 6, "image_size": 64, "num_classes": None, "antialias": "avg"}),
    "iresnet": (FaceNet, {"family": "iresnet", "layers": [2, 1, 1, 1], "embedding": 6, "image_size": 64}),
    "byob, all kinds": (all_kinds, {"family": "byob", "arch": "test_byobnet", "attention": "se", "num_classes": 5}),
    "byob, clip": (lambda: byob("resnet50_clip"), {"head_type": "attention", "image_size": 64, "num_classes": 5}),
    "byob, gc": (
        lambda: byob("gcresnext26ts", stem_type=""),
        {"attention": "gc", "stem_pool": "max", "activation": "silu"},
    ),
    "csp": (csp, {"family": "csp", "groups": 2, "layers": [1, 2], "activation": ["leaky_relu", 0.01]}),
}
