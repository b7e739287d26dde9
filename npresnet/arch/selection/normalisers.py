"""Modules that normalise an image inside a network: they are its preprocessing, y[c] = (x[c] - mean[c]) / std[c].

npresnet's `model(x)` takes normalised images and its `predict` normalises, so the numbers move to `preprocess`. Homes:
MadryLab's robustness (`normalizer.new_mean`), RobustBench and adversarial training (`normalize.mean`, `mu`, `sigma`),
Detectron2 (`pixel_mean`, for pixels of 0..255 in the order blue, green, red).
"""

from __future__ import annotations

import re

import numpy as np

from npresnet.arch.tensors import Tensors, shorten
from npresnet.config import Decision

_MODULE = r"([^.]+\.)*(normali[sz]er?|normali[sz]ation|normali[sz]e_layer|norm_layer|preproc(ess(ing|or)?)?|[0-9])\."
MEAN = rf"^({_MODULE})(new_|image_|channel_)?(mean|means|mu)$|^(mu|mean|means|image_mean|pixel_mean)$"
STD = rf"^({_MODULE})(new_|image_|channel_)?(std|sd|stds|sigma)$|^(sigma|std|sd|stds|image_std|pixel_std)$"

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PIXELS = 255.0


def read_normaliser(tensors: Tensors) -> tuple[list[str], dict[str, Decision]]:
    """The names of a normaliser's tensors, and the preprocessing that they tell; ([], {}) where there is none.

    Only tensors with three numbers count; where several normalisers differ, none is taken, so that all are left over.
    """
    means, stds = _numbers(tensors, MEAN), _numbers(tensors, STD)
    if len(set(means.values())) != 1 or len(set(stds.values())) != 1:
        return [], {}
    (mean,), (std,) = set(means.values()), set(stds.values())
    in_pixels = max(map(abs, mean)) > 2.0 or min(std) > 2.0
    if in_pixels:
        mean, std = tuple(m / PIXELS for m in mean), tuple(s / PIXELS for s in std)
    names = [*means, *stds]
    if min(std) <= 0:
        return [], {}
    said = f"told by {shorten(names, 2)}"
    fields: dict[str, object] = {"mean": list(mean), "std": list(std)}
    if in_pixels and mean[0] < mean[2]:
        fields |= {"bgr": True}
        said += ": the order of these means is blue, green, red"
    decided = {"preprocess": Decision(fields, "file", said)}
    is_small = tensors.length("conv1.weight", 2, ndim=4) == 3  # other numbers are usual for CIFAR
    if not in_pixels and not is_small and np.allclose((mean, std), IMAGENET, atol=1e-4):
        decided = {}
    return names, decided


def _numbers(tensors: Tensors, pattern: str) -> dict[str, tuple[float, ...]]:
    """{name: its three numbers}."""
    found = {name: tensors.array(name) for name in filter(re.compile(pattern).search, tensors)}
    return {
        name: tuple(round(float(number), 7) for number in array.ravel())
        for name, array in found.items()
        if array.size == 3 and array.dtype.kind == "f" and np.isfinite(array).all()
    }
