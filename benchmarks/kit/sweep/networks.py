"""PyTorch's networks with random numbers like trained ones, and what they compute in float64 and float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from benchmarks.kit.sweep.names import Name

# Images, height, width. Strides, pools and borders of other rules give other sizes or numbers: maps of 39x36, 20x18,
# 10x9 and 5x5 have an even side, where a padded max pool may round, and an odd one, where an average pool may.
ODD = (2, 77, 72)
EVEN = (8, 64, 64)  # for sizes that networks are made for
FRAMES = 5  # of a clip
BRANCHES = 4  # whose gains would be about 1: those of more are smaller, so that all together add as much
CHANGE = 1e-13  # of an image, relative; rounding in float64 does as much to the maps of a network
Array = np.ndarray[Any, Any]


class Oracle(NamedTuple):
    """Inputs, and what PyTorch computes of them. `even` has as many images as the comparison of errors needs.

    sensitivity is how many times larger a tiny relative change of an image is in the logits, by PyTorch in float64.
    """

    odd: Array
    odd_exact: Array
    even: Array
    even_exact: Array
    even_single: Array
    sensitivity: float


def create(found: Name, seed: int = 0) -> Any:
    """The network, in eval mode; of an attention pool, which has a number for each position, one for small images."""
    import torch

    from tests.support.torchvision_import import import_timm, import_torchvision

    models, timm = import_torchvision().models, import_timm()
    torch.manual_seed(seed)  # the libraries draw from PyTorch's own generator
    if found.library == "torchvision":
        return models.get_model(found.name, weights=None).eval()
    small = {"img_size": EVEN[1]} if has_fixed_size(found) else {}
    return timm.create_model(found.name, pretrained=False, **small).eval()


def has_fixed_size(found: Name) -> bool:
    return found.module == "byobnet" and "clip" in found.name and not found.name.endswith("_gap")


def is_video(module: Any) -> bool:
    import torch

    return any(isinstance(part, torch.nn.Conv3d) for part in module.modules())


def random_images(sizes: tuple[int, int, int], video: bool, seed: int) -> Array:
    """(N, 3, H, W) or (N, 3, T, H, W) float32"""
    count, *size = sizes
    shape = (count, 3, FRAMES, *size) if video else (count, 3, *size)
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def randomise(module: Any, seed: int = 0) -> None:
    """Random affine parameters, gains and biases; running statistics are those of random images, and then jittered.

    In the libraries' own initialisation norms and zero-initialised branches have no effect, which hides mistakes. But
    as many full branches as a deep network has magnify each other's differences until rounding decides the logits:
    gains that a library sets to 0, which end residual branches, become 1 / sqrt(their number / BRANCHES) of the others.
    """
    import torch

    noise = torch.Generator().manual_seed(seed)
    ends = ends_of_branches(module)
    with torch.no_grad():
        for part in module.modules():
            for role, parameter in part._parameters.items():
                if parameter is not None:
                    _randomise(part, role, parameter, noise)
        for gain in ends:
            gain *= min(1.0, (BRANCHES / len(ends)) ** 0.5)
        _set_statistics(module.eval(), noise, seed)


def ends_of_branches(module: Any) -> list[Any]:
    """The gains that a library has set to 0, so that at first a block is its shortcut."""
    named = (part._parameters.get("weight") for part in module.modules())
    return [gain for gain in named if gain is not None and gain.ndim == 1 and not gain.any()]


def _randomise(part: Any, role: str, parameter: Any, noise: Any) -> None:
    import torch

    if role in ("bias", "tau"):
        parameter.uniform_(-0.3, 0.3, generator=noise)
    elif parameter.ndim <= 1 or role == "gain":
        parameter.uniform_(0.5, 1.5, generator=noise)
    elif isinstance(part, torch.nn.Linear):
        parameter.normal_(0, parameter.shape[1] ** -0.5, generator=noise)
    elif parameter.ndim == 4 and hasattr(part, "eps"):  # standardised filters: their mean is not 0
        parameter += float(parameter.std()) * torch.rand(len(parameter), 1, 1, 1, generator=noise)
    elif not parameter.any():
        parameter.normal_(0, 0.1, generator=noise)


def _set_statistics(module: Any, noise: Any, seed: int) -> None:
    """One pass in which each norm takes its statistics from what it sees; the layers after it see the result.

    A norm magnifies differences by mean / deviation. Pooled values are one an image, in deep networks next to each
    other: of these, which go to gates, a variance is at least the square of its mean.
    """
    import torch

    def take(norm: Any, inputs: tuple[Any, ...]) -> None:
        (x, *_) = inputs
        variance, mean = torch.var_mean(x, [axis for axis in range(x.ndim) if axis != 1])
        if x.numel() == mean.numel() * len(x):  # pooled
            variance = torch.maximum(variance, mean.square())
        variance.clamp_(min=0.1 * float(variance.mean()) + 1e-3)  # of few values a variance may be next to 0
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance * torch.empty_like(variance).uniform_(0.7, 1.4, generator=noise))

    norms = [part for part in module.modules() if isinstance(getattr(part, "running_var", None), torch.Tensor)]
    hooks = [norm.register_forward_pre_hook(take) for norm in norms]
    module(torch.from_numpy(random_images((4, *EVEN[1:]), is_video(module), seed + 1)))
    for hook in hooks:
        hook.remove()


def consult(module: Any, compares_rms: bool = True) -> Oracle:
    """What PyTorch computes, of `even` only where errors are to be compared. Afterwards the module is in float64."""
    video = is_video(module)
    even, odd = random_images(EVEN, video, 3), random_images(ODD, video, 4)
    even_single = run(module, even) if compares_rms else even[:0]
    module.double()
    with exact_statistics():
        try:
            odd_exact = run(module, odd.astype(np.float64))
        except RuntimeError:  # some cut the image into squares, add maps of different rounding, or have a fixed size
            odd = even[:2]
            odd_exact = run(module, odd.astype(np.float64))
        even_exact = run(module, even.astype(np.float64)) if compares_rms else even[:0]
        sensitivity = _sensitivity(module, odd[:1].astype(np.float64), odd_exact[:1])
    return Oracle(odd, odd_exact, even, even_exact, even_single, sensitivity)


def _sensitivity(module: Any, x: Array, exact: Array) -> float:
    """The relative change of the logits over that of the image, which is CHANGE; both of the largest number."""
    direction = np.random.default_rng(5).uniform(-1, 1, x.shape)
    changed = run(module, x + CHANGE * np.abs(x).max() * direction)
    return float(np.abs(changed - exact).max() / np.abs(exact).max() / CHANGE)


def run(module: Any, x: Array) -> Array:
    """Image by image: activations of large networks need little memory."""
    import torch

    with torch.inference_mode():
        return np.concatenate([module(torch.from_numpy(x[i : i + 1])).numpy() for i in range(len(x))])


@contextmanager
def exact_statistics() -> Iterator[None]:
    """Without casts of float64 to float32, in which some of timm's norms compute their statistics."""
    import torch

    plain: Any = torch.Tensor.float
    tensor_class: Any = torch.Tensor
    tensor_class.float = lambda self, *rest, **options: self if self.dtype == torch.float64 else plain(self)
    try:
        yield
    finally:
        tensor_class.float = plain
