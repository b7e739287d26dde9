"""PyTorch modules with random weights that behave like trained ones, and the same weights as arrays.

In torchvision's initialisation, BatchNorms have no effect (mean 0, variance 1, weight 1, bias 0), which would hide most
mistakes in them, and a deep network's values grow without bound. So every statistic and affine parameter is random,
and a block's last BatchNorm is scaled down, as in trained networks.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.support.torchvision_import import import_torchvision

torch = pytest.importorskip("torch", reason="torch is not installed")

TEN = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
)
BRANCH_SCALE = 0.4  # of a block's last BatchNorm


def torchvision_model(name: str, *, seed: int = 0, **options):
    """torchvision's model of that name in eval mode with random weights, and its state_dict as {name: ndarray}."""
    models = import_torchvision().models
    torch.manual_seed(seed)
    return randomised(getattr(models, name)(weights=None, **options), seed=seed)


def randomised(module, *, seed: int = 0):
    """The module in eval mode, its BatchNorms and GroupNorms made random, and its state_dict as {name: ndarray}."""
    generator = torch.Generator().manual_seed(seed)
    last = _last_norms(module)
    for name, norm in module.named_modules():
        if isinstance(norm, (torch.nn.BatchNorm2d, torch.nn.GroupNorm)):
            scale = BRANCH_SCALE if name in last else 1.0
            with torch.no_grad():
                norm.weight.uniform_(0.6 * scale, 1.4 * scale, generator=generator)
                norm.bias.normal_(0, 0.2, generator=generator)
                if isinstance(norm, torch.nn.GroupNorm):
                    continue
                norm.running_mean.normal_(0, 0.3, generator=generator)
                norm.running_var.uniform_(0.5, 2.0, generator=generator)
    module.eval()
    return module, arrays_of(module)


def arrays_of(module) -> dict[str, np.ndarray]:
    """The state_dict as copied arrays."""
    return {name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}


def run_double(module, x: np.ndarray) -> np.ndarray:
    """The module's result in float64; the module itself stays float32."""
    module.double()
    try:
        return run_module(module, x.astype(np.float64))
    finally:
        module.float()


def run_module(module, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return module(torch.from_numpy(x)).numpy()


def hooked(module, x: np.ndarray, names: list[str], *, run=run_double) -> dict[str, np.ndarray]:
    """{name: result of that submodule}, float64 by default; of one that runs several times, the last result."""
    seen: dict[str, np.ndarray] = {}

    def keep(name):
        return lambda _module, _inputs, result: seen.__setitem__(name, result.detach().numpy().copy())

    modules = dict(module.named_modules())
    handles = [modules[name].register_forward_hook(keep(name)) for name in names]
    try:
        run(module, x)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _last_norms(module) -> set[str]:
    """The last `bn<k>` of every block."""
    last: dict[str, str] = {}
    for name in sorted(name for name, _ in module.named_modules()):
        found = re.search(r"^(.*layer[0-9]+\.[0-9]+)\.bn[0-9]$", name)
        if found:
            last[found[1]] = name
    return set(last.values())


def growing(module, *, size: int, seed: int = 0):
    """The module with random BatchNorms whose statistics are those of its own values, and its state_dict as arrays."""
    generator = torch.Generator().manual_seed(seed)
    norms = [norm for norm in module.modules() if isinstance(norm, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5, generator=generator)
            norm.bias.uniform_(-0.3, 0.3, generator=generator)
        module.train()
        for norm in norms:
            norm.momentum = 1.0
        module(torch.randn(2, 3, size, size, generator=generator))
    module.eval()
    return module, arrays_of(module)
