"""Weights that are stored as formulas, against PyTorch's own modules; and fused BatchNorm."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval, parametrizations, prune, spectral_norm, weight_norm

from npresnet import arch
from npresnet.arch.selection.reparametrised import plain_weights
from npresnet.arch.tensors import Tensors
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net, without
from tests.arch.homes.layouts import basic


def _layer():
    torch.manual_seed(3)
    return nn.Conv2d(3, 5, 3, bias=True)


def _spectral(layer):
    module = spectral_norm(layer, n_power_iterations=3)
    module.train()(torch.randn(1, 3, 4, 4))
    return module


def _pruned(layer):
    prune.random_unstructured(layer, "weight", 0.4)
    prune.random_unstructured(layer, "bias", 0.4)
    return layer


FORMS = {
    "weight norm": weight_norm,
    "weight norm of all": lambda layer: weight_norm(layer, dim=None),
    "weight norm of axis 1": lambda layer: weight_norm(layer, dim=1),
    "parametrised weight norm": parametrizations.weight_norm,
    "spectral norm": _spectral,
    "parametrised spectral norm": lambda layer: parametrizations.spectral_norm(layer, n_power_iterations=2),
    "pruned": _pruned,
}


@pytest.mark.parametrize("inside", [False, True], ids=["a layer", "in a module"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_against_pytorch(form, inside):
    layer = FORMS[form](_layer()).eval()
    x = torch.randn(1, 3, 6, 6)
    with torch.inference_mode():
        layer(x)
        expected = layer.weight.numpy()
    module = nn.Sequential(layer) if inside else layer
    name = "0.weight" if inside else "weight"
    tensors = {key: value.detach().numpy() for key, value in module.state_dict().items()}
    assert name not in tensors
    found = plain_weights(Tensors(tensors))
    assert set(found) == {name, name.replace("weight", "bias")}
    assert found.array(name).dtype == np.float32
    np.testing.assert_allclose(found.array(name), expected, rtol=2e-6, atol=1e-7)
    if form == "pruned":
        assert np.array_equal(found.array(name), expected)
        assert np.array_equal(found.array(name.replace("weight", "bias")), layer.bias.detach().numpy())


def test_spectral_norm_of_an_old_file_without_v():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 6)).astype(np.float32)
    left, sizes, _ = np.linalg.svd(weight)
    found = plain_weights(Tensors({"fc.weight_orig": weight, "fc.weight_u": left[:, 0]}))
    np.testing.assert_allclose(found.array("fc.weight"), weight / sizes[0], rtol=1e-5)


def test_whole_networks_whose_weights_are_formulas():
    ours = basic()
    mask = np.tile(np.float32([1, 0]), 4)[:, None, None, None] * np.ones_like(ours["conv1.weight"])
    pruned = without(ours, "conv1.") | {"conv1.weight_orig": ours["conv1.weight"], "conv1.weight_mask": mask}
    network, _ = arch.build({f"module.{name}": array for name, array in pruned.items()} | {"n_averaged": np.array(1)})
    assert np.array_equal(network["conv1"].params["weight"], ours["conv1.weight"] * mask)


@pytest.mark.parametrize(
    "parts",
    [
        {"fc.weight_orig": (4, 6), "fc.weight_mask": (4, 5)},
        {"fc.weight_g": (4,), "fc.weight_v": (4, 6)},
        {"fc.weight_orig": (4, 6), "fc.weight_u": (5,), "fc.weight_v": (6,)},
    ],
    ids=["pruned", "weight norm", "spectral norm"],
)
def test_parts_that_do_not_fit_are_refused(parts):
    tensors = {name: np.ones(shape, np.float32) for name, shape in parts.items()}
    with pytest.raises(ArchitectureError, match=r"fc\.weight is stored as a formula.*\(4.*before saving"):
        plain_weights(Tensors(tensors))


def test_unknown_parametrisations_are_refused_by_their_names():
    tensors = without(basic_net(), "conv1.") | {"conv1.parametrizations.weight.0.base": np.ones((8, 8), np.float32)}
    with pytest.raises(ArchitectureError, match=r"conv1\.weight is missing"):
        arch.build(tensors)


def test_plain_files_are_not_touched():
    tensors = Tensors(basic_net())
    assert plain_weights(tensors) is tensors


def _fused(tensors, norms):
    """fuse_conv_bn_eval by its own arithmetic: biases instead of norms."""
    found = dict(tensors)
    for conv, name in norms.items():
        weight, bias, mean, var = (found.pop(f"{name}.{r}") for r in ("weight", "bias", "running_mean", "running_var"))
        found.pop(f"{name}.num_batches_tracked")
        layer = nn.Conv2d(1, 1, 1, bias=False)
        layer.weight = nn.Parameter(torch.from_numpy(found[f"{conv}.weight"]))
        norm = nn.BatchNorm2d(len(weight))
        values = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": var}
        norm.load_state_dict({key: torch.from_numpy(value) for key, value in values.items()}, strict=False)
        fused = fuse_conv_bn_eval(layer.eval(), norm.eval())
        found |= {f"{conv}.weight": fused.weight.detach().numpy(), f"{conv}.bias": fused.bias.detach().numpy()}
    return found


def _norms(tensors):
    convs = [name.removesuffix(".weight") for name, array in tensors.items() if array.ndim == 4]
    return {name: name.replace("downsample.0", "downsample.1").replace("conv", "bn") for name in convs}


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_fused_batch_norm(prefix):
    from npresnet import ops

    ours = basic()
    fused = _fused(ours, _norms(ours))
    assert not any("bn" in name or "running" in name for name in fused)
    x = np.random.default_rng(0).standard_normal((2, 3, 20, 20))
    network, _ = arch.build({prefix + name: array for name, array in fused.items()})
    expected = ops.run(arch.build(ours)[0], x)["logits"]
    assert "batch_norm" not in {node.op for node in network}
    np.testing.assert_allclose(ops.run(network, x)["logits"], expected, rtol=1e-4)


def test_some_norms_missing_are_not_fused_ones():
    ours = basic()
    partly = _fused(ours, {"layer1.0.conv1": "layer1.0.bn1"})
    with pytest.raises(ArchitectureError, match=r"layer1\.0\.bn1\.weight is missing"):
        arch.build(partly)
