"""Weights that training stored as a formula, computed into plain weights.

    pruning          w = w_orig * w_mask                                                torch.nn.utils.prune
    weight norm      w = g * v / ||v||, a norm for each index of the axes that g has    torch.nn.utils.weight_norm
    spectral norm    w = w_orig / (u' W v), W = w_orig as (out_channels, the rest)      torch.nn.utils.spectral_norm

Names: X_orig, X_mask; X_g, X_v; X_orig, X_u, X_v; and of `torch.nn.utils.parametrizations`, where M is the module,
M.parametrizations.X.original0 (g), .original1 (v); M.parametrizations.X.original, ....0._u, ....0._v.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from npresnet.arch.tensors import Tensors
from npresnet.errors import ArchitectureError
from npresnet.network import Array

HINT = re.compile(r"_(orig|g)$|(^|\.)parametrizations\.")
PARAMETRISED = re.compile(r"^(.*?)\.?parametrizations\.([^.]+)\.")

# The names of a formula's tensors, as what follows the weight's name, in the order of the formula's arguments.
OLD = {
    "pruned": ("_orig", "_mask"),
    "weight_normed": ("_g", "_v"),
    "spectral_normed": ("_orig", "_u", "_v"),
    "spectral_normed_once": ("_orig", "_u"),
}
NEW = {"weight_normed": ("original0", "original1"), "spectral_normed": ("original", "0._u", "0._v")}


def plain_weights(tensors: Tensors) -> Tensors:
    """The tensors with every formula computed. Raises ArchitectureError where the parts do not fit each other.

    Other parametrisations are left as they are, and refused later as tensors that no layer reads.
    """
    if not any(map(HINT.search, tensors)):
        return tensors
    arrays = {name: tensors.array(name) for name in tensors}
    for name, forms in _formulas(arrays).items():
        for formula, parts in forms.items():
            if all(part in arrays for part in parts):
                arrays[name] = _computed(name, formula, [arrays.pop(part) for part in parts])
                break
    return Tensors(arrays)


def pruned(weight: Array, mask: Array) -> Array:
    """weight * mask, both of one shape."""
    if weight.shape != mask.shape:
        raise ValueError(f"{weight.shape} and {mask.shape}")
    return weight * mask


def weight_normed(g: Array, v: Array) -> Array:
    """g * v / ||v||, the norm over the axes on which g has one element; over all where g is a number.

    Source: Salimans and Kingma, Weight Normalization, equation 2; g has the shape (O, 1, 1, 1) for dim=0.
    """
    if g.ndim not in (0, v.ndim):
        raise ValueError(f"{g.shape} and {v.shape}")
    axes = tuple(range(v.ndim)) if g.ndim == 0 else tuple(i for i, size in enumerate(g.shape) if size == 1)
    result: Array = g * (v / np.sqrt(np.square(v).sum(axis=axes, keepdims=True)))
    return result


def spectral_normed(weight: Array, u: Array, v: Array) -> Array:
    """weight / (u' W v), W (out_channels, the rest); u and v are the power iteration's vectors, as stored.

    Source: Miyato et al., Spectral Normalization for Generative Adversarial Networks, algorithm 1.
    """
    result: Array = weight / (u @ weight.reshape(weight.shape[0], -1) @ v)
    return result


def spectral_normed_once(weight: Array, u: Array) -> Array:
    """As `spectral_normed` for files without v: v = W'u / ||W'u||."""
    v = weight.reshape(weight.shape[0], -1).T @ u
    return spectral_normed(weight, u, v / np.linalg.norm(v))


FORMULAS: dict[str, Callable[..., Array]] = {
    "pruned": pruned,
    "weight_normed": weight_normed,
    "spectral_normed": spectral_normed,
    "spectral_normed_once": spectral_normed_once,
}


def _formulas(arrays: dict[str, Array]) -> dict[str, dict[str, list[str]]]:
    """{weight: {formula: the names of its tensors}}, for every weight that may be stored as one."""
    found: dict[str, dict[str, list[str]]] = {}
    for name in arrays:
        inside = PARAMETRISED.search(name)
        if inside:
            module, weight = inside[1], inside[2]
            plain = f"{module}.{weight}" if module else weight
            found[plain] = {form: [f"{inside[0]}{part}" for part in parts] for form, parts in NEW.items()}
        elif name.endswith(("_orig", "_g")):
            plain = name.rpartition("_")[0]
            found[plain] = {form: [plain + part for part in parts] for form, parts in OLD.items()}
    return found


def _computed(name: str, formula: str, parts: list[Array]) -> Array:
    """The formula's result in float64, rounded once to the type of the file's numbers."""
    try:
        result = FORMULAS[formula](*(part.astype(np.float64) for part in parts))
    except ValueError:
        shapes = " and ".join(str(part.shape) for part in parts)
        raise ArchitectureError(
            f"{name} is stored as a formula ({formula.replace('_', ' ')}) whose parts do not fit: {shapes}. Call "
            f"torch.nn.utils.remove_weight_norm, remove_spectral_norm, prune.remove or "
            f"parametrize.remove_parametrizations before saving"
        ) from None
    return result.astype(parts[0].dtype)
