"""PyTorch's networks with random numbers like trained ones, and what they compute in float64 and float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from benchmarks.kit.sweep.names import Name

ODD = (2, 77, 66)  # images, height, width: strides, pools and borders of other rules give other sizes or numbers
EVEN = (8, 64, 64)  # for sizes that networks are made for
FRAMES = 5  # of a clip
Array = np.ndarray[Any, Any]


class Oracle(NamedTuple):
    """Inputs, and what PyTorch computes of them. `even` has as many images as the comparison of errors needs."""

    odd: Array
    odd_exact: Array
    even: Array
    even_exact: Array
    even_single: Array


def create(found: Name) -> Any:
    """The network, in eval mode; of an attention pool, which has a number for each position, one for small images."""
    from tests.support.torchvision_import import import_timm, import_torchvision

    models, timm = import_torchvision().models, import_timm()
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

    In the libraries' own initialisation norms and zero-initialised branches have no effect, which hides mistakes.
    """
    import torch

    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in module.modules():
            for role, parameter in part._parameters.items():
                if parameter is not None:
                    _randomise(part, role, parameter, noise)
        _set_statistics(module, noise, seed)
    module.eval()


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
    """One pass in which each norm takes its statistics from what it sees; the layers after it see the result."""
    import torch

    norms = [part for part in module.modules() if isinstance(getattr(part, "running_var", None), torch.Tensor)]
    for norm in norms:
        norm.momentum, norm.training = 1.0, True
    module(torch.from_numpy(random_images((4, *EVEN[1:]), is_video(module), seed + 1)))
    for norm in norms:
        norm.momentum, norm.training = 0.1, False
        variance = norm.running_var
        variance.clamp_(min=0.1 * float(variance.mean()) + 1e-3)  # of few values a variance may be next to 0
        variance *= torch.empty_like(variance).uniform_(0.7, 1.4, generator=noise)


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
    return Oracle(odd, odd_exact, even, even_exact, even_single)


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
