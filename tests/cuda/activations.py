"""Activations for the tests of the GPU kernels: how far a kernel's float32 may be from `npresnet.ops`."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.activation import Activation
from npresnet.cuda.compiler.lowerings import LOWERINGS
from npresnet.cuda.elements import ELEMENTS, Element, restore, store
from npresnet.ops.registry import ACTIVATIONS

SLOPE = 0.25
ATTRS = {"negative_slope": SLOPE, "alpha": 1.5}
NAMES = tuple(name for name in ACTIVATIONS if name in LOWERINGS)
EVERY = (None, *NAMES)
# NumPy's own float32 operations, in the same order
EXACT = (None, "relu", "relu6", "leaky_relu", "hard_sigmoid", "hard_swish", "hard_mish")


def of(name: str | None) -> Activation:
    """As a launch takes it."""
    return Activation.of(name, ATTRS)


def applied(name: str | None, x: np.ndarray) -> np.ndarray:
    """`npresnet.ops`, in x's own dtype."""
    with np.errstate(invalid="ignore"):
        return x if name is None else ACTIVATIONS[name].function(x, ATTRS)


def assert_applied(y: np.ndarray, x: np.ndarray, name: str | None, element: Element) -> None:
    """y (float32) is the activation of x (float32), rounded once to what the element stores.

    exp and erfc are off by a few units in the last place, and by the rounding of their argument, which weighs its own
    value for exp and twice its square for erfc. What 1 + erf loses in the specification, in float64, is allowed too.
    """
    element = ELEMENTS["float32"] if element.name == "tf32" else element  # a tf32 network stores whole float32 numbers
    if name in EXACT:
        np.testing.assert_array_equal(y, restore(store(applied(name, x), element), element), err_msg=str(name))
        return
    right = applied(name, x.astype(np.float64))
    step = {"float16": 2.0**-11, "bfloat16": 2.0**-8}.get(element.name, 0.0)
    tiny = 2.0**-25 if element.name == "float16" else 2.0**-126
    with np.errstate(invalid="ignore"):
        allowed = np.abs(right) * ((8 + x.astype(np.float64) ** 2) * 2.0**-23 + step) + np.abs(x) * 2.0**-52 + tiny
        close = np.abs(y - right) <= allowed
    same = (y == right) | (np.isnan(y) & np.isnan(right))
    assert (close | same).all(), f"{name}: {y[~(close | same)][:3]}, not {right[~(close | same)][:3]}"
