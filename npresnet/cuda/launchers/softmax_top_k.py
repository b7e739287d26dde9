"""Softmax and the k best classes: kernels/softmax_top_k/softmax_top_k.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.launch import Launch, Source

FILE = "softmax_top_k/softmax_top_k.cu"
THREADS = 256


def launches(images: int, classes: int, k: int, *, logits: int, probabilities: int, best: int) -> list[Launch]:
    """Probabilities, and the classes of the k largest logits, best first; of equals the lower index, NaN last.

    probabilities[n,c] = exp(logits[n,c]) / sum over j of exp(logits[n,j])

    logits          (N, classes)   float32
    probabilities   (N, classes)   float32, rounded from float64, as `npresnet.model.prediction` has them
    best            (N, k)         int32; k from 0 to `classes`
    """
    args = (np.uint64(logits), np.uint64(probabilities), np.uint64(best), np.int32(classes), np.int32(k))
    return [Launch(Source(FILE), "softmax_top_k", (images, 1, 1), (THREADS, 1, 1), args)]
