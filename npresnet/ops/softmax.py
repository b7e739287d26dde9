"""Softmax: from logits to probabilities."""

from __future__ import annotations

import numpy as np

from npresnet.network import Array
from npresnet.system.settings import quiet


@quiet
def softmax(logits: Array, axis: int = -1) -> Array:
    """Probabilities: positive numbers that sum to 1, in the order of the logits.

    out[k] = exp(logits[k]) / sum over j of exp(logits[j]) = exp(logits[k] - max) / sum over j of exp(logits[j] - max)

    The second form is computed: no exponential exceeds 1, so none overflows.

    logits   any shape and float dtype, also that of the result; `axis` is that of the classes

    Cost: one exponential per value. Source: torch.nn.functional.softmax.
    """
    logits = np.asarray(logits)
    powers = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)
