"""Prediction and Candidate: the classification of one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npresnet.ops.softmax import softmax

Array = NDArray[Any]


def probabilities_of(logits: Array) -> Array:
    """The softmax of logits (..., num_classes), computed in float64; float32 of the same shape."""
    with np.errstate(invalid="ignore"):  # infinite logits of a diverged network give NaN without a warning
        return softmax(np.asarray(logits, dtype=np.float64)).astype(np.float32)


Ranking = tuple[Array, Array]  # probabilities (num_classes,) float32, the best classes (top,) int32


@dataclass(frozen=True)
class Candidate:
    """One class with its index, name and probability."""

    index: int
    label: str
    score: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """The classification of one image.

    logits      (num_classes,) float32
    labels      the names of the classes; if unknown, classes are named by index
    top_k       number of candidates in `top`
    elapsed_ms  time spent on this image: reading, preprocessing, and its share of its batch's run
    """

    logits: Array
    labels: Sequence[str] | None = field(default=None, repr=False)
    top_k: int = 5
    elapsed_ms: float = field(default=0.0, repr=False)

    @classmethod
    def of(
        cls,
        logits: Array,
        labels: Sequence[str] | None,
        top_k: int,
        parts_ms: Mapping[str, float],
        ranking: Ranking | None,
    ) -> Prediction:
        """With the parts of `elapsed_ms`, see `parts_ms_of`, and with what a GPU has ranked already."""
        prediction = cls(logits, labels, top_k, sum(parts_ms.values()))
        vars(prediction)["_parts_ms"] = parts_ms
        if ranking is not None:
            vars(prediction).update(probabilities=ranking[0], _best=ranking[1])
        return prediction

    @cached_property
    def probabilities(self) -> Array:
        """(num_classes,) float32: the softmax of the logits in float64, rounded once.

        A GPU adds up in another order, which may change a probability by one step of float32.
        """
        return probabilities_of(self.logits)

    @cached_property
    def top(self) -> list[Candidate]:
        """The classes of the largest logits, best first; ties by lower index, NaN last."""
        return [Candidate(int(i), self._name(int(i)), float(self.probabilities[i])) for i in self._best]

    @cached_property
    def _best(self) -> Array:
        return np.argsort(-self.logits, kind="stable")[: self.top_k]

    @property
    def label(self) -> str:
        """The name of the most probable class."""
        return self.top[0].label

    @property
    def index(self) -> int:
        """The index of the most probable class."""
        return self.top[0].index

    @property
    def score(self) -> float:
        """The probability of the most probable class."""
        return self.top[0].score

    def to_dict(self) -> dict[str, Any]:
        """As JSON types: {index, label, score, top: [{index, label, score}]}."""
        top = [{"index": c.index, "label": c.label, "score": c.score} for c in self.top]
        return {**top[0], "top": top}

    def _name(self, index: int) -> str:
        return str(index) if self.labels is None else self.labels[index]

    def __repr__(self) -> str:
        return f"<Prediction {self.label!r}, index {self.index}, score {self.score:.4f}>"


def parts_ms_of(prediction: Prediction) -> Mapping[str, float]:
    """Where `elapsed_ms` went: decoding and computing; on a GPU decoding, preparing, upload, gpu and download.

    Empty for one image on the CPU.
    """
    parts: Mapping[str, float] = vars(prediction).get("_parts_ms", {})
    return parts
