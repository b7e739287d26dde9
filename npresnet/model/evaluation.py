"""How often a model is right: top-1, top-5, each class, and what is taken for what."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOP = 5


@dataclass(frozen=True)
class ClassResult:
    """One class: top1 is the percentage of its images that were recognised, None where it has none."""

    index: int
    label: str
    images: int
    correct: int
    top1: float | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What became of a labelled set of images.

    Attributes
    ----------
    labels : list of str
        A name for each class of the model.
    images : int
        Images classified; top1 and top5 are of these, in percent.
    correct : int
        How many of them the model's first class is right for.
    correct5 : int
        How many of them one of its first five is right for.
    errors : int
        Images that could not be classified.
    failed : list of tuple
        Those images: (path or position, why), the first 1,000.
    pairs : dict
        {(true class, predicted class): images}.
    seconds : float
        From the first image to the last, reading and compiling included.
    notes : list of str
        What was not used, and what may be a mistake in the images' folder or table.
    """

    labels: list[str] = field(repr=False)
    images: int
    correct: int
    correct5: int
    errors: int
    failed: list[tuple[str, str]] = field(repr=False)
    pairs: dict[tuple[int, int], int] = field(repr=False)
    seconds: float
    notes: list[str] = field(repr=False)

    @property
    def top1(self) -> float | None:
        """Percent of the images whose best class is the right one; None without images."""
        return 100 * self.correct / self.images if self.images else None

    @property
    def top5(self) -> float | None:
        """Percent of the images whose best five classes hold the right one; None with fewer than five classes."""
        return 100 * self.correct5 / self.images if self.images and len(self.labels) >= TOP else None

    @property
    def images_per_s(self) -> float:
        """Of all images, also those that could not be read."""
        return (self.images + self.errors) / self.seconds if self.seconds else 0.0

    @property
    def per_class(self) -> list[ClassResult]:
        """For every class of the model, in order."""
        totals: Counter[int] = Counter()
        for (true, _), count in self.pairs.items():
            totals[true] += count
        rows = []
        for index, label in enumerate(self.labels):
            images, correct = totals[index], self.pairs.get((index, index), 0)
            rows.append(ClassResult(index, label, images, correct, 100 * correct / images if images else None))
        return rows

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Row i, column j counts images of class i that were taken for class j; (classes, classes)."""
        counts = np.zeros((len(self.labels), len(self.labels)), np.int64)
        for pair, count in self.pairs.items():
            counts[pair] = count
        return counts

    def confused(self) -> list[tuple[int, int, int]]:
        """What was wrong, as (true class, predicted class, images), the most frequent first."""
        wrong = [(true, found, count) for (true, found), count in self.pairs.items() if true != found]
        return sorted(wrong, key=lambda entry: (-entry[2], entry[0], entry[1]))

    def to_dict(self) -> dict[str, Any]:
        """As JSON types, `{top1, top5, images, errors, images_per_s, per_class, failed, notes}`."""
        return {
            "top1": self.top1,
            "top5": self.top5,
            "images": self.images,
            "errors": self.errors,
            "images_per_s": self.images_per_s,
            "per_class": [asdict(row) for row in self.per_class],
            "failed": [{"path": path, "error": error} for path, error in self.failed],
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        parts = [f"top-1 {percent(self.top1)}", f"top-5 {percent(self.top5)}"]
        errors = f"{self.errors:,} error{'s' * (self.errors != 1)}"
        images = f"{self.images:,} image{'s' * (self.images != 1)}"
        return f"<Evaluation {', '.join(parts)}, {images}, {errors}, {self.images_per_s:.1f} images/s>"


def percent(value: float | None) -> str:
    """81.03 %."""
    return "none" if value is None else f"{value:.2f} %"
