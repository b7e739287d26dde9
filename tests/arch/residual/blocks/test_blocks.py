"""Kinds of blocks: networks recognised from a state_dict compute what timm's or PyTorch's module computes."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from npresnet import arch, cpu, ops, passes
from npresnet.arch.builder import Builder
from npresnet.arch.residual import attention_maps, attention_pool
from npresnet.arch.residual.blocks import configured
from tests.support.block_nets import NETS, SIZE, nest
from tests.support.float_error import assert_as_exact_as
from tests.support.reference import run_double, run_module
from tests.support.torch_blocks import settled

torch = pytest.importorskip("torch", reason="torch is not installed")

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


def test_found_below_a_prefix(made):
    """Each kind, beside a tensor of the training."""
    for name in NETS:
        _, tensors = made(name)
        file = {f"net.backbone.{key}": array for key, array in tensors.items()}
        network, config = arch.build(file | {"criterion.weight": np.ones(5, np.float32)})
        assert config.value("family") == arch.build(tensors)[1].value("family")
        assert (config.value("prefix"), config.value("ignored")) == ("net.backbone.", "criterion.weight"), name


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


def test_the_pool_of_radix_0_is_not_in_the_tensors():
    """A split of radix 0 is a plain convolution; the average pool that strides instead of it is told by an option."""
    torch.manual_seed(1)
    module, tensors = settled(nest(0))
    network, config = arch.build(tensors)
    assert (config.value("family"), config.value("avd"), config["avd"].certainty) == ("timm", "none", "custom")
    assert relative_error(network, module) > 1e-3
    assert relative_error(arch.build(tensors, options={"avd": "last"})[0], module) < 1e-9


def test_the_fast_resnests_pool_first():
    tensors = arch.random_tensors("resnest14d", num_classes=2)
    for name, pool in ((None, "avd_last"), ("resnest14_fast_2s1x64d", "avd_first")):
        network, config = arch.build(tensors, arch=name)
        assert f"layer2.0.{pool}" in [node.name for node in network]
        assert config.value("arch") == (name or "resnest14d")


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
