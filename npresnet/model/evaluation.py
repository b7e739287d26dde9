"""How often a model is right: top-1, top-5, each class, and what is taken for what."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import ArchitectureError, ImageError
from npresnet.images.messages import name_of
from npresnet.model.class_folders import Samples, read_samples
from npresnet.model.class_matching import Classes, check_numbering, lookup, match, usual_way
from npresnet.model.inputs import as_count, listed
from npresnet.model.prediction import Prediction

if TYPE_CHECKING:
    from npresnet.model.model import Model

TOP = 5
MAX_FAILED = 1_000  # names of images that failed; all are counted

Progress = Callable[[int], Any]
Outcome = Prediction | ImageError
Run = Callable[[Iterable[Any], int, int, bool], Iterable[tuple[Any, Outcome]]]  # images, top, batch_size, bgr


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


def evaluate(
    model: Model, run: Run, source: Any, classes: Classes, batch_size: int, progress: Progress | None
) -> Evaluation:
    """See `Model.evaluate`.

    run     gives each image with its result, in order
    source  may be what `class_folders.read_samples` gave
    """
    labels = _labels_of(model)
    batch_size = as_count(batch_size, "batch_size")
    start = perf_counter()
    if isinstance(source, (str, os.PathLike)):
        source = read_samples(source)
    if isinstance(source, Samples):
        notes = list(source.notes)
        if classes is None:
            classes = usual_way(source.names, model.labels, len(labels), source.kind)
            notes += _told(classes, source, model.labels)
        pairs = _of_samples(model, source, classes, len(labels))
    else:
        if classes is None:
            whole = getattr(source, "dataset", source)  # of torch's Subset
            check_numbering(getattr(whole, "classes", None), model.labels)
        pairs, notes = _of_iterable(source, lookup(model.labels, len(labels), classes)), []
    tally = _Tally(labels, notes)
    for position, (image, true, result) in enumerate(_outcomes(run, pairs, batch_size)):
        tally.add(image, position, true, result)
        if progress is not None:
            progress(1)
    return tally.result(perf_counter() - start)


class _Tally:
    """Counts, one image after the other."""

    def __init__(self, labels: list[str], notes: list[str]):
        self._labels, self._notes = labels, notes
        self._pairs: Counter[tuple[int, int]] = Counter()
        self._correct5 = self._errors = 0
        self._failed: list[tuple[str, str]] = []

    def add(self, image: Any, position: int, true: int, result: Outcome) -> None:
        if isinstance(result, Prediction) and np.isnan(result.logits).any():
            result = ImageError("its logits are NaN; check the weights")
        if isinstance(result, ImageError):
            self._errors += 1
            if len(self._failed) < MAX_FAILED:
                is_path = isinstance(image, (str, os.PathLike))
                self._failed.append((name_of(image) if is_path else f"image {position}", str(result)))
            return
        self._pairs[true, result.index] += 1
        self._correct5 += any(candidate.index == true for candidate in result.top)

    def result(self, seconds: float) -> Evaluation:
        pairs = dict(self._pairs)
        correct = sum(count for (true, found), count in pairs.items() if true == found)
        told = (sum(pairs.values()), correct, self._correct5, self._errors, self._failed)
        return Evaluation(self._labels, *told, pairs, seconds, self._notes)


def _labels_of(model: Model) -> list[str]:
    """A name for each class. Raises ArchitectureError for a network without a classifier, or with one class."""
    count = model.config.value("num_classes")
    if not count:
        raise ArchitectureError("this network has no classifier, so it cannot be evaluated")
    if count == 1 and model.config.value("scores", "softmax") == "sigmoid":  # one logit decides between two classes
        count = 2
    if count < 2 or (model.labels is not None and len(model.labels) != count):
        raise ArchitectureError(
            "this network has one class, of which every image would be; load it with labels=[name below 0.5, name from "
            "0.5 on], so that its one logit decides between two"
        )
    return list(map(str, range(count))) if model.labels is None else list(model.labels)


def _told(way: str, samples: Samples, model_labels: list[str] | None) -> list[str]:
    """How names became classes, where the model's labels did not say so."""
    if way == "sorted":
        what = f"the {len(samples.names)} {samples.kind} in sorted order are its classes, as torchvision numbers them"
        return [f"the model has no labels: {what}"]
    if way != "index":
        return []
    told = f"the {samples.kind} are numbers, which are taken as those of the classes"
    if min(map(int, samples.names)) > 0:  # perhaps counted from 1
        return [f"{told}; the first class is 0, and none is of it"]
    return [told] if model_labels is not None else []


def _of_samples(model: Model, samples: Samples, classes: Classes, count: int) -> Iterator[tuple[Any, int]]:
    if model.network.takes_clips and samples.kind == "folders":
        raise ArchitectureError(
            "this network takes clips, and nothing tells what is one in a folder; pass a CSV of path,label, each path "
            "a folder of frames"
        )
    known = dict(zip(samples.names, match(samples.names, model.labels, count, classes, samples.kind), strict=True))
    return ((path, known[name]) for path, name in samples.rows)


def _of_iterable(source: Any, find: Callable[[Any], int]) -> Iterator[tuple[Any, int]]:
    source = listed(source)
    if not isinstance(source, Iterable):
        raise ImageError(
            f"expected a folder of class folders, a CSV of path,label, or an iterable of (image, label), got "
            f"{type(source).__name__}"
        )
    return _pairs(source, find)


def _pairs(source: Iterable[Any], find: Callable[[Any], int]) -> Iterator[tuple[Any, int]]:
    for position, pair in enumerate(source):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ImageError(
                f"item {position} (the first is 0) is not a pair (image, label), but {type(pair).__name__}; "
                "to evaluate paths in class folders, pass the folder"
            )
        yield pair[0], find(pair[1])


def _outcomes(run: Run, pairs: Iterable[tuple[Any, int]], batch_size: int) -> Iterator[tuple[Any, int, Outcome]]:
    """Each image with its class and its result. Labels wait here while their images are read ahead."""
    waiting: deque[int] = deque()

    def images() -> Iterator[Any]:
        for image, true in pairs:
            waiting.append(true)
            yield image

    for image, result in run(images(), TOP, batch_size, False):
        yield image, waiting.popleft(), result
