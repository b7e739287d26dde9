"""Prediction and Candidate: the classification of one image."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npresnet.ops.activations import sigmoid
from npresnet.ops.softmax import softmax
from npresnet.system.settings import quiet
from npresnet.system.text import visible

Array = NDArray[Any]
MAX_SHOWN = 120  # characters of a label or a path in a repr


@quiet
def probabilities_of(logits: Array, scores: str = "softmax") -> Array:
    """Of logits (..., num_classes), computed in float64; float32 of the same shape.

    scores  "softmax": one class of all, probabilities sum to 1; "sigmoid": each class for itself
    """
    values = np.asarray(logits, dtype=np.float64)
    return (sigmoid(values) if scores == "sigmoid" else softmax(values)).astype(np.float32)


def is_binary(logits: int, scores: str, labels: Sequence[str] | None) -> bool:
    """Whether one logit decides between two classes, 0 and 1; with a single label it is that label's alone."""
    return logits == 1 and scores == "sigmoid" and (labels is None or len(labels) != 1)


Ranking = tuple[Array, Array]  # probabilities (num_classes,) float32, the best classes (top,) int32


@dataclass(frozen=True)
class Candidate:
    """One class with its probability.

    Attributes
    ----------
    index : int
        The place of its logit.
    label : str
        Its name; the index as text where names are unknown.
    score : float
        Its probability.
    """

    index: int
    label: str
    score: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """The classification of one image.

    One logit z with scores="sigmoid" decides between two classes: index 1 from sigmoid(z) = 0.5 on, index 0 below. With
    one label it has one candidate, index 0, whose score is sigmoid(z).

    Attributes
    ----------
    logits : array
        (num_classes,) float32.
    labels : sequence of str or None
        The names of the classes; if unknown, classes are named by index.
    top_k : int
        Number of candidates in `top`.
    elapsed_ms : float
        Time spent on this image: reading, preprocessing, and its share of its batch's run.
    scores : str
        How logits become probabilities: "softmax" or "sigmoid".
    source : path or None
        The path of what was classified, as it was given or as a file object or picture tells it; None if it has none:
        an image itself is not kept.

    Examples
    --------
    >>> prediction = npresnet.load("demo").predict("cat.jpg", top=2)
    >>> prediction.label, prediction.index, len(prediction.top)
    ('cat', 3, 2)
    >>> prediction.logits.shape, prediction.logits.dtype
    ((10,), dtype('float32'))
    """

    logits: Array
    labels: Sequence[str] | None = field(default=None, repr=False)
    top_k: int = 5
    elapsed_ms: float = field(default=0.0, repr=False)
    scores: str = field(default="softmax", repr=False)
    source: str | os.PathLike[str] | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        logits: Array,
        labels: Sequence[str] | None,
        top_k: int,
        parts_ms: Mapping[str, float],
        ranking: Ranking | None,
        scores: str = "softmax",
        source: str | os.PathLike[str] | None = None,
    ) -> Prediction:
        """With the parts of `elapsed_ms`, see `parts_ms_of`, and with what a GPU has ranked already."""
        prediction = cls(logits, labels, top_k, sum(parts_ms.values()), scores, source)
        vars(prediction)["_parts_ms"] = parts_ms
        if ranking is not None:
            vars(prediction).update(probabilities=ranking[0], _best=ranking[1])
        return prediction

    @cached_property
    @quiet
    def probabilities(self) -> Array:
        """The softmax or the sigmoids of the logits in float64, rounded once to float32; (num_classes,).

        (2,) where one logit decides between two classes. A GPU adds up in another order, which may change a probability
        by one step of float32.
        """
        return probabilities_of(np.append(-self.logits, self.logits) if self._is_binary else self.logits, self.scores)

    @cached_property
    @quiet
    def top(self) -> list[Candidate]:
        """The classes of the largest logits, best first; ties by lower index, NaN last."""
        return [Candidate(int(i), self._name(int(i)), float(self.probabilities[i])) for i in self._best]

    @cached_property
    @quiet
    def _best(self) -> Array:
        if self._is_binary:
            return np.array([1, 0] if self.logits[0] >= 0 else [0, 1])[: self.top_k]
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
        """As JSON types, `{index, label, score, top: [{index, label, score}]}`."""
        top = [{"index": c.index, "label": c.label, "score": c.score} for c in self.top]
        return {**top[0], "top": top}

    @property
    def _is_binary(self) -> bool:
        return is_binary(len(self.logits), self.scores, self.labels)

    def _name(self, index: int) -> str:
        return str(index) if self.labels is None else self.labels[index]

    def __repr__(self) -> str:
        """All of `top`, best first."""
        return f"<Prediction {', '.join(f'{_short(c.label)!r} (index {c.index}) {c.score:.4f}' for c in self.top)}>"

    def _repr_html_(self) -> str:
        """For notebooks: all of `top` as a table. Labels and paths are text in it, whatever they hold."""
        from html import escape

        caption = "" if self.source is None else f"<caption>{escape(_short(os.fsdecode(self.source)))}</caption>"
        rows = "".join(
            f"<tr><td>{escape(_short(c.label))}</td><td>{c.index}</td><td>{c.score:.4f}</td></tr>" for c in self.top
        )
        head = "<thead><tr><th>label</th><th>index</th><th>score</th></tr></thead>"
        return f"<table>{caption}{head}<tbody>{rows}</tbody></table>"


def _short(text: str) -> str:
    """In one line of at most MAX_SHOWN characters."""
    return visible(text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…")


def parts_ms_of(prediction: Prediction) -> Mapping[str, float]:
    """Where `elapsed_ms` went: decoding and computing; on a GPU decoding, preparing, upload, gpu and download.

    Empty for a prediction that was made of logits alone.
    """
    parts: Mapping[str, float] = vars(prediction).get("_parts_ms", {})
    return parts
