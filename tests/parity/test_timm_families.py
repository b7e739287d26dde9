"""timm's networks with a topology of their own compute what timm's modules compute, and so do their modules."""

from __future__ import annotations

from contextlib import closing, contextmanager

import numpy as np
import pytest

from npresnet import arch, cpu, ops, passes
from npresnet.views.cam import find_head, find_pooled
from tests.support import timm_nets
from tests.support.float_error import assert_as_exact_as
from tests.support.reference import hooked, run_double, run_module

FAMILY = {"BiT": "resnetv2", "NF": "nfnet", "SE": "senet", "TR": "tresnet", "re": "resnetv2"}
LOW_PRECISION = ("resnetv2, EvoNorm", "resnetv2, FRN")  # timm's modules compute their statistics in float32
LARGE = ("SENet", "SE-ResNet")  # with nothing that smaller ones lack
EXACT = 1e-12
FOLDED = 1e-6  # biases are rounded to float32


@pytest.fixture(scope="module")
def nets():
    """{name: (module, tensors)}, made when asked for."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = timm_nets.small(name)
        return made[name]

    return get


@contextmanager
def double_statistics():
    """Without the casts to float32 in the statistics of two norms, timm's modules are exact in float64."""
    torch = timm_nets.torch
    plain = torch.Tensor.float
    torch.Tensor.float = lambda tensor, *rest, **options: tensor
    try:
        yield
    finally:
        torch.Tensor.float = plain


def exact_result(name, module, x):
    module.double()
    try:
        if name not in LOW_PRECISION:
            return run_module(module, x)
        with double_statistics():
            return run_module(module, x)
    finally:
        module.float()


@pytest.mark.parametrize("name", timm_nets.NETS)
def test_agrees_in_float64(name, nets):
    """A size that strides do not divide, unless timm itself refuses it."""
    module, tensors = nets(name)
    network, config = arch.build(timm_nets.in_double(tensors))
    assert config.value("family") == next(family for start, family in FAMILY.items() if name.startswith(start))
    x = images(1, 64, 32) if name.startswith("TR") else images(1, 45, 38)
    expected = exact_result(name, module, x)
    assert relative_error(ops.run(network, x)["logits"], expected) < EXACT
    assert relative_error(ops.run(passes.optimize(network), x)["logits"], expected) < FOLDED


@pytest.mark.parametrize("name", [name for name in timm_nets.NETS if name not in LARGE])
def test_float32_on_the_cpu_is_as_exact_as_pytorch(name, nets):
    module, tensors = nets(name)
    network, _ = arch.build(tensors)
    x = images(8, 32, 32).astype(np.float32)
    with closing(cpu.compile(passes.optimize(network), threads=1)) as executable:
        ours = executable(x)["logits"]
    assert_as_exact_as(ours, run_module(module, x), run_double(module, x.astype(np.float64)))


MODULES = {
    "BiT": ["stem.conv", "stem.pool", "stages.0.blocks.0.norm1", "stages.1.blocks.0.downsample", "stages.1", "norm"],
    "resnetv2, GroupNorm": ["stem.norm1", "stem", "stages.1.blocks.0.downsample.pool", "stages.0.blocks.0.norm3"],
    "NF-ResNet": ["stem", "stages.1.0.act1", "stages.1.0.downsample", "stages.0.0.conv3", "stages.1", "final_act"],
    "NF-RegNet": ["stages.0.0.attn", "stages.1.1.act3", "final_conv", "head.global_pool"],
    "NFNet, DeepMind": ["stages.0.0.attn_last", "stages.1.0.conv2", "stages.1.0.downsample", "final_act", "head"],
    "SE-ResNet": ["layer0", "pool0", "layer2.0.conv1", "layer2.0.se_module", "layer3", "layer4", "global_pool"],
    "SE-ResNet, basic": ["layer1.0.relu", "layer2.0.downsample", "layer4"],
    "TResNet": ["body.s2d", "body.conv1", "body.layer2.0.conv1", "body.layer3.0.se", "body.layer4", "head.fc"],
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_give_what_timm_s_give(name, nets):
    module, tensors = nets(name)
    network, _ = arch.build(timm_nets.in_double(tensors))
    x = images(1, 64, 64)
    found = ops.run(network.with_outputs(MODULES[name]), x)
    for part, expected in hooked(module, x, MODULES[name]).items():
        assert relative_error(found[part], expected.reshape(found[part].shape)) < EXACT, part


@pytest.mark.parametrize("name", ["BiT", "NFNet, DeepMind", "SE-ResNet", "TResNet"])
def test_embeddings_and_maps_are_found(name, nets):
    """Also where the classifier is a 1x1 convolution: on pooled features it is a linear layer."""
    module, tensors = nets(name)
    network, _ = arch.build(timm_nets.in_double(tensors))
    x = images(2, 64, 64)
    mapped, (linear,) = find_head(network)
    pooled = find_pooled(network)
    found = ops.run(network.with_outputs([mapped, pooled]), x)
    with timm_nets.torch.inference_mode():
        body = module.double()(timm_nets.torch.from_numpy(x)).numpy()
        features = module.forward_features(timm_nets.torch.from_numpy(x)).numpy()
    module.float()
    assert relative_error(found[mapped], features) < EXACT
    assert relative_error(found[pooled], features.mean(axis=(2, 3))) < EXACT
    logits = found[pooled] @ linear.params["weight"].T + linear.params["bias"]
    assert relative_error(logits, body) < EXACT


NAMES = ("resnetv2_18d", "resnetv2_50d_frn", "resnetv2_50x3_bit", "dm_nfnet_f0", "eca_nfnet_l0", "nf_regnet_b4")
OTHERS = ("nf_seresnet26", "legacy_senet154", "legacy_seresnet18", "legacy_seresnext26_32x4d", "tresnet_l")


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_random_weights_have_timm_s_names_and_shapes(name):
    from npresnet.arch.family import assemble
    from npresnet.arch.names import find_arch
    from tests.arch.families.test_sources import Blank

    timm, torch = timm_nets.import_timm(), timm_nets.torch
    with torch.device("meta"):
        module = timm.create_model(name, num_classes=7, in_chans=4)
    family, options = find_arch(name)
    source = Blank(seed=0)
    with pytest.MonkeyPatch.context() as patch:  # only shapes count
        patch.setattr("npresnet.arch.standardised.standardise", lambda weight, *rest: weight)
        assemble(family, source, {**options, "in_channels": 4, "num_classes": 7})
    expected = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    assert {key: array.shape for key, array in source.tensors.items()} == expected


def images(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(8).standard_normal((count, 3, height, width))


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())
