"""Pre-activation and Wide ResNets for small images, under the names of their homes, compute what PyTorch computes."""

from __future__ import annotations

from contextlib import closing
from functools import partial

import numpy as np
import pytest

from npresnet import arch, cpu, ops, passes
from npresnet.errors import ArchitectureError
from tests.support import timm_nets, torch_preact
from tests.support.float_error import assert_as_exact_as
from tests.support.reference import run_double, run_module
from tests.support.torch_preact import F, PreActNet

EXACT = 1e-12
MEAN, STD = (np.float32(v).reshape(3, 1, 1).astype(float) for v in (torch_preact.MEAN, torch_preact.STD))
LEAKY = partial(F.leaky_relu, negative_slope=0.1)
FIXMATCH = {"activation": ["leaky_relu", 0.1], "preactivation": "first"}
DEEP = {"depths": (1, 1, 2, 1), "channels": 4, "bottleneck": True}

# (home, the network, the options that it needs, the ambiguous decisions without them)
CASES = [
    ("pytorch-cifar", {"stem": 8}, {}, {"preactivation"}),
    ("pytorch-cifar", DEEP, {}, set()),
    ("robustbench", {}, {"preactivation": "branch"}, {"preactivation"}),
    ("bearpaw", {}, {}, {"preactivation"}),
    ("bearpaw", {"bottleneck": True}, {}, {"preactivation"}),
    ("meliketoy", {}, {}, set()),
    ("meliketoy", {"biases": False}, {}, {"stride_on"}),
    ("xternalz", {}, {}, set()),
    ("xternalz", {"act": LEAKY, "biases": True, "eps": 1e-3}, {}, set()),
    ("xternalz", {"act": LEAKY, "first_only": True, "depths": (4, 4, 4), "channels": 32}, FIXMATCH, {"activation"}),
    ("deepmind", {"act": F.silu, "inside": True}, {}, {"activation"}),
    ("deepmind", {}, {"activation": "relu"}, {"activation"}),
    ("weiaicunzai", {}, {}, set()),
    ("weiaicunzai", {"bottleneck": True}, {}, set()),
]


def named(value) -> str:
    """The same in every process: functions have addresses."""
    if isinstance(value, dict):
        return ", ".join(
            f"{key}={getattr(one, '__name__', type(one).__name__) if callable(one) else one}"
            for key, one in value.items()
        )
    return ", ".join(sorted(value)) if isinstance(value, set) else str(value)


@pytest.mark.parametrize(("home", "fields", "options", "ambiguous"), CASES, ids=named)
def test_agrees_in_float64(home, fields, options, ambiguous):
    module, tensors = timm_nets.randomised(PreActNet(home, **fields))
    network, config = arch.build(timm_nets.in_double(tensors), options=options)
    x = images(2)
    normal = (x - MEAN) / STD if fields.get("inside") else x
    assert relative_error(ops.run(network, normal)["logits"], run_double(module, x)) < EXACT
    assert config.value("family") == "preact"
    assert set(arch.build(tensors)[1].ambiguous()) == ambiguous
    assert set(config.ambiguous()) == ambiguous - set(options)


@pytest.mark.parametrize("home", ["pytorch-cifar", "meliketoy", "deepmind"])
def test_what_tensors_do_not_tell_matters(home):
    """The other answer to each question gives other logits: so that an oracle of the wrong kind would fail."""
    module, tensors = timm_nets.randomised(PreActNet(home))
    x = images(1)
    expected = run_double(module, x)
    others = {"pytorch-cifar": {"preactivation": "branch"}, "meliketoy": {"stride_on": "conv1"}, "deepmind": {}}
    network, _ = arch.build(tensors, options=others[home])
    assert relative_error(ops.run(network, x)["logits"], expected) > 1e-3


def test_float32_is_as_exact_as_pytorch():
    module, tensors = timm_nets.randomised(PreActNet("xternalz", depths=(2, 1, 1), channels=16, stem=16))
    network, _ = arch.build(tensors)
    x = images(8).astype(np.float32)
    with closing(cpu.compile(passes.optimize(network), threads=1)) as executable:
        ours = executable(x)["logits"]
    assert_as_exact_as(ours, run_module(module, x), run_double(module, x.astype(np.float64)))


def test_a_second_first_block_is_left_out_where_it_is_a_whole_one():
    """TRADES's network holds a `sub_block1` that it does not run."""
    _, tensors = timm_nets.randomised(PreActNet("xternalz"))
    extra = {f"sub_{name}": array for name, array in tensors.items() if name.startswith("block1.")}
    plain, _ = arch.build(tensors)
    network, config = arch.build({**tensors, **extra})
    assert [node.name for node in network] == [node.name for node in plain]
    assert config.value("ignored") == "sub_block1"
    extra.pop("sub_block1.layer.0.bn1.bias")
    with pytest.raises(ArchitectureError, match="sub_block1"):
        arch.build({**tensors, **extra})


def images(count: int) -> np.ndarray:
    return np.random.default_rng(8).standard_normal((count, 3, 32, 32))


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())
