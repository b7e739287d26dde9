"""`evaluate`: labelled images through a model, each with the class that it should have, counted one by one."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from npresnet.errors import ArchitectureError, ImageError
from npresnet.images.messages import name_of
from npresnet.model.class_folders import Samples, read_samples
from npresnet.model.class_mapping import Classes
from npresnet.model.class_matching import check_numbering, lookup, match, usual_way
from npresnet.model.evaluation import TOP, Evaluation
from npresnet.model.inputs import as_count, listed
from npresnet.model.prediction import Prediction
from npresnet.system.foreign import named

if TYPE_CHECKING:
    from npresnet.model.model import Model

MAX_FAILED = 1_000  # names of images that failed; all are counted

Progress = Callable[[int], Any]
Outcome = Prediction | ImageError
Run = Callable[[Iterable[Any], int, int, bool], Iterable[tuple[Any, Outcome]]]  # images, top, batch_size, bgr


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
                f"{_advice(source, pair)}"
            )
        yield pair[0], find(pair[1])


def _advice(source: Any, pair: Any) -> str:
    """How pairs are made of what was passed."""
    if (named(source) or "").startswith("a table"):
        return "of a table pass zip(table['path'], table['label'])"
    if isinstance(source, Mapping):
        return "of a dict pass its items()"
    if isinstance(pair, Mapping):
        return "of rows pass ((row['image'], row['label']) for row in rows)"
    return "to evaluate paths in class folders, pass the folder"


def _outcomes(run: Run, pairs: Iterable[tuple[Any, int]], batch_size: int) -> Iterator[tuple[Any, int, Outcome]]:
    """Each image with its class and its result. Labels wait here while their images are read ahead."""
    waiting: deque[int] = deque()

    def images() -> Iterator[Any]:
        for image, true in pairs:
            waiting.append(true)
            yield image

    for image, result in run(images(), TOP, batch_size, False):
        yield image, waiting.popleft(), result
