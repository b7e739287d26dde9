"""Kinds of blocks: networks recognised from a state_dict compute what timm's or PyTorch's module computes."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from npresnet import arch, cpu, ops, passes
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
    from timm.models import resnest, res2net, resnet, sknet

    owner = {"sknet": sknet, "resnest": resnest, "res2net": res2net, "resnet": resnet}[module]
    sizes = {
        "layers": (1, 2, 1, 1),
        "channels": (8, 16, 16, 16),
        "num_classes": 5,
        "stem_width": 8,
        "zero_init_last": False,
    }
    return resnet.ResNet(getattr(owner, block), **{**sizes, **options})


def sk(block: str, split: bool, **options):
    return timm_resnet(block, "sknet", block_args={"sk_kwargs": {"split_input": split}}, **options)


def nest(radix: int, cardinality: int = 1, *, first: bool = False, avd: bool = True):
    args = {"radix": radix, "avd": avd, "avd_first": first}
    widths = {"cardinality": cardinality, "base_width": 64 // cardinality}
    return timm_resnet("ResNestBottleneck", "resnest", block_args=args, **widths, **DEEP)


def res2(scale: int, cardinality: int = 1, **options):
    widths = {"cardinality": cardinality, "base_width": 32}
    return timm_resnet("Bottle2neck", "res2net", block_args={"scale": scale}, **widths, **options)


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
    "cbam, timm": (
        lambda: timm_resnet("BasicBlock", "resnet", block_args={"attn_layer": "cbam"}),
        {"family": "timm", "attention": "cbam"},
    ),
    "gc, timm": (lambda: timm_resnet("BasicBlock", "resnet", block_args={"attn_layer": "gc"}), {"attention": "gc"}),
    "gca, timm": (lambda: timm_resnet("BasicBlock", "resnet", block_args={"attn_layer": "gca"}), {"attention": "gc"}),
    "cbam": (lambda: Net("cbam"), {"family": "timm", "attention": "cbam"}),
    "cbam, channels": (lambda: Net("cbam, channels"), {"attention": "cbam"}),
    "ca, sa": (lambda: Net("ca, sa"), {"attention": "cbam"}),
    "ibn a": (lambda: Net("ibn a"), {"family": "ibn", "ibn": "a"}),
    "clip": (
        lambda: ClipNet(),
        {"family": "clip", "embedding": 6, "image_size": 64, "num_classes": None, "antialias": "avg"},
    ),
    "iresnet": (lambda: FaceNet(), {"family": "iresnet", "layers": [2, 1, 1, 1], "embedding": 6, "image_size": 64}),
    "ibn b": (lambda: Net("ibn b"), {"family": "ibn", "ibn": "b"}),
}


@pytest.fixture(scope="module", params=NETS)
def net(request):
    """(module, its tensors, what is read from them)."""
    make, facts = NETS[request.param]
    torch.manual_seed(1)
    return *settled(make()), facts


def images(count: int = 2) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((count, 3, SIZE, SIZE)).astype(np.float32)


def test_computes_what_the_module_computes(net):
    module, tensors, facts = net
    network, config = arch.build(tensors)
    assert {name: config.value(name) for name in facts} == facts
    assert config.ambiguous() == {}
    assert relative_error(network, module) < 1e-9


def result(outputs):
    """The logits, or the embedding."""
    (values,) = outputs.values()
    return values


def relative_error(network, module) -> float:
    expected = run_double(module, images())
    return np.abs(result(ops.run(network, images().astype(np.float64))) - expected).max() / np.abs(expected).max()


def test_the_cpu_is_as_exact_as_pytorch(net):
    module, tensors, _ = net
    x = images(8)
    with closing(cpu.compile(passes.optimize(arch.build(tensors)[0]), threads=1)) as executable:
        assert_as_exact_as(result(executable(x)), run_module(module, x), run_double(module, x))
