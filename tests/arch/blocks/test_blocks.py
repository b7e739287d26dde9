"""Kinds of blocks: networks recognised from a state_dict compute what timm's or PyTorch's module computes."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from npresnet import arch, cpu, ops, passes
from npresnet.arch import attention_maps, attention_pool
from npresnet.arch.blocks import configured
from npresnet.arch.builder import Builder
from tests.support.float_error import assert_as_exact_as
from tests.support.reference import run_double, run_module
from tests.support.torch_blocks import ClipNet, FaceNet, Net, settled
from tests.support.torchvision_import import import_timm

torch = pytest.importorskip("torch", reason="torch is not installed")

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


def test_byobnet():
    return import_timm().create_model("test_byobnet", num_classes=5)


test_byobnet.__test__ = False

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
    "byob, all kinds": (test_byobnet, {"family": "byob", "arch": "test_byobnet", "attention": "se", "num_classes": 5}),
    "byob, clip": (lambda: byob("resnet50_clip"), {"head_type": "attention", "image_size": 64, "num_classes": 5}),
    "byob, gc": (
        lambda: byob("gcresnext26ts", stem_type=""),
        {"attention": "gc", "stem_pool": "max", "activation": "silu"},
    ),
    "csp": (csp, {"family": "csp", "groups": 2, "layers": [1, 2], "activation": ["leaky_relu", 0.01]}),
}
AMBIGUOUS = {"byob, clip": ["activation", "stem_pool"], "byob, gc": ["activation", "stem_pool"]}


@pytest.fixture(scope="module")
def made():
    """{name: (module, its tensors)}, each made once."""
    known = {}

    def make(name: str):
        if name not in known:
            torch.manual_seed(1)
            known[name] = settled(NETS[name][0]())
        return known[name]

    return make


def images(count: int = 2) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((count, 3, SIZE, SIZE)).astype(np.float32)


@pytest.mark.parametrize("name", NETS)
def test_computes_what_the_module_computes(name, made):
    module, tensors = made(name)
    network, config = arch.build(tensors)
    facts = NETS[name][1]
    assert {fact: config.value(fact) for fact in facts} == facts
    assert list(config.ambiguous()) == AMBIGUOUS.get(name, [])
    assert relative_error(network, module) < 1e-9


def result(outputs):
    """The logits, or the embedding."""
    (values,) = outputs.values()
    return values


def relative_error(network, module) -> float:
    expected = run_double(module, images())
    return np.abs(result(ops.run(network, images().astype(np.float64))) - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("name", NETS)
def test_the_cpu_is_as_exact_as_pytorch(name, made):
    module, tensors = made(name)
    x = images(8)
    with closing(cpu.compile(passes.optimize(arch.build(tensors)[0]), threads=1)) as executable:
        assert_as_exact_as(result(executable(x)), run_module(module, x), run_double(module, x))


# --- planted faults: each changes one rule of a block, and the comparison must notice ---


def parts_reversed(working):
    return lambda builder, name, parts: working(builder, name, parts[::-1])


def cardinality_ignored(working):
    def faulty(builder, name, op, inputs, channels=None, **fields):
        if op == "radix_softmax":
            fields["attrs"] = {**fields["attrs"], "cardinality": 1}
        return working(builder, name, op, inputs, channels, **fields)

    return faulty


def zeros_not_counted(working):
    def faulty(builder, name, x, window, **options):
        return working(builder, name, x, window, **{**options, "count_include_pad": False})

    return faulty


def another_eps(working):
    return lambda builder, name, x, *, eps, **options: working(builder, name, x, eps=20 * eps, **options)


FAULTS = [
    ("sk, split", Builder, "concat", parts_reversed),
    ("resnest, radix 4", Builder, "operation", cardinality_ignored),
    ("resnest, radix 2", Builder, "avg_pool", zeros_not_counted),
    ("res2net", Builder, "avg_pool", zeros_not_counted),
    ("res2next", Builder, "concat", parts_reversed),
    ("cbam", Builder, "concat", parts_reversed),
    ("ca, sa", Builder, "concat", parts_reversed),
    ("ibn a", Builder, "concat", parts_reversed),
    ("iresnet", Builder, "batch_norm", another_eps),
    ("csp", Builder, "concat", parts_reversed),
    ("gca, timm", attention_maps, "LAYER_NORM_EPS", lambda eps: 20 * eps),
    ("clip", attention_pool, "HEAD_CHANNELS", lambda channels: channels // 2),
    (
        "byob, all kinds",
        configured,
        "CONVS",
        lambda kinds: {**kinds, "bottle": (kinds["bottle"][0], 0, *kinds["bottle"][2:])},
    ),
]


@pytest.mark.parametrize(
    ("name", "owner", "attribute", "wrap"), FAULTS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_planted_faults(name, owner, attribute, wrap, made, monkeypatch):
    module, tensors = made(name)
    monkeypatch.setattr(owner, attribute, wrap(getattr(owner, attribute)))
    assert relative_error(arch.build(tensors)[0], module) > 1e-7
