"""`npresnet predict`: images in, labels out."""

from __future__ import annotations

import os
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from npresnet.cli.output import Emit, Record, Writer, form_of, say_written, written
from npresnet.cli.paths import ImagePaths, progress_of
from npresnet.cli.shared import FAILED, FINE, STDOUT, check_outputs, complain, model_of
from npresnet.errors import ImageError
from npresnet.model.prediction import Prediction, parts_ms_of
from npresnet.model.records import record
from npresnet.system.text import padded, visible, width

if TYPE_CHECKING:
    from npresnet.model.model import Model

TEXT = "text"
LABEL_WIDTH = 40  # columns, at most
Outcome = Prediction | ImageError


def predict(args: Namespace) -> int:
    """Print or write each image's labels; with --grid, draw them, too. Images that cannot be read are reported."""
    if args.ray is not None or args.resume or args.workers:
        from npresnet.cli import cluster

        return cluster.predict(args)
    form = form_of(args, TEXT)
    top = args.top or (1 if form in (TEXT, "csv") else 5)
    paths = ImagePaths.of(args)
    _spare_inputs(args, paths)
    if paths.is_empty:
        with _writer(args, form, Predictions(top), print, paths) as writer:
            for source in paths:
                writer.add(paths.name(source), paths.outcome(source, ImageError()))
        return FAILED
    with model_of(args) as model:
        if model.network.takes_clips:
            paths.as_clips()
        start = perf_counter()
        bar = progress_of(paths)
        kind = Predictions(min(top, max(2, model.config.value("num_classes") or 2)), model.labels or ())
        spent_ms: Counter[str] = Counter()
        with _writer(args, form, kind, print if bar is None else bar.write, paths) as writer:
            results = _results(args, top, paths, model, writer, bar, spent_ms)
            count = _draw(args.grid, results, paths, model) if args.grid else sum(1 for _ in results)
        if args.output not in (None, STDOUT):
            say_written(args.output, count + paths.failures, paths.failures)
        if form == TEXT and count:
            _say_times(model, count, perf_counter() - start, spent_ms)
    return FAILED if paths.failures or not count else FINE


class Predictions:
    """The kind of records that `predict` writes: those of `model.records`.

    top     how many candidates a row of CSV has: index, label, score, index2, label2, score2, ...
    labels  of the model, whose width text needs
    """

    def __init__(self, top: int, labels: Sequence[str] = ()):
        self._top = top
        self.label_width = min(LABEL_WIDTH, max((width(visible(label)) for label in labels), default=LABEL_WIDTH))

    def record(self, path: str, result: Outcome) -> Record:
        return record(path, result)

    def columns(self) -> list[str]:
        ranks = ["", *map(str, range(2, self._top + 1))]
        return ["path", *(f"{name}{rank}" for rank in ranks for name in ("index", "label", "score")), "error"]

    def row(self, path: str, result: Outcome) -> list[Any]:
        found = self.record(path, result)
        cells = [candidate[name] for candidate in found.get("top", ())[: self._top] for name in candidate]
        return [found["path"], *cells, *[""] * (3 * self._top - len(cells)), found.get("error", "")]

    def schema(self) -> Any:
        import pyarrow as pa

        candidate = [("index", pa.int64()), ("label", pa.string()), ("score", pa.float64())]
        columns = [("path", pa.string()), *candidate, ("top", pa.list_(pa.struct(candidate))), ("error", pa.string())]
        return pa.schema(columns)


class Text:
    """For people: path, label, probability, time; further candidates on the next lines. Failures are on stderr."""

    def __init__(self, emit: Emit, path_width: int, label_width: int):
        self._emit, self._path_width, self._label_width = emit, path_width, label_width

    def begin(self) -> None:
        pass

    def add(self, path: str, result: Outcome) -> None:
        if isinstance(result, ImageError):
            return
        for rank, candidate in enumerate(result.top):
            name = padded(visible(path) if rank == 0 else "", self._path_width)
            time = f"  {result.elapsed_ms:8.1f} ms" if rank == 0 else ""
            self._emit(f"{name}  {padded(visible(candidate.label), self._label_width)} {candidate.score:7.2%}{time}")

    def end(self) -> None:
        pass


def _spare_inputs(args: Namespace, paths: ImagePaths) -> None:
    """Refuse to replace an image, also one that is named on standard input, by the output or a page of --grid; and an
    output that cannot be written."""
    if any(map(os.path.isfile, filter(None, (args.output, args.grid)))):
        paths.list_all()
    pages: Iterable[str] = ()
    if args.grid:
        from npresnet.views.grid import PICTURES, page_path

        pages = (page_path(args.grid, number + 1) for number in range(len(paths.files) // PICTURES + 1))
    check_outputs(args, paths.files, args.output, args.grid, further=pages)


@contextmanager
def _writer(args: Namespace, form: str, kind: Predictions, emit: Emit, paths: ImagePaths) -> Iterator[Writer]:
    if form == TEXT:
        yield Text(emit, paths.width, kind.label_width)
    else:
        with written(args.output, form, kind, emit) as writer:
            yield writer


def _results(
    args: Namespace, top: int, paths: ImagePaths, model: Model, writer: Writer, bar: Any, spent_ms: Counter[str]
) -> Iterator[tuple[Any, Prediction]]:
    """Classify the images and write the records; yields each prediction once it is written, and adds up its times."""
    try:
        for source, result in model.stream(paths, top=top, batch_size=args.batch_size):
            outcome = paths.outcome(source, result)
            writer.add(paths.name(source), outcome)
            if not isinstance(outcome, ImageError):
                spent_ms.update(parts_ms_of(outcome))
                yield source, outcome
            if bar is not None:
                bar.update()
    finally:
        if bar is not None:
            bar.close()


def _draw(grid_path: str, results: Iterator[tuple[Any, Prediction]], paths: ImagePaths, model: Model) -> int:
    """Draw pages of the preprocessed images, of clips the frame in the middle; returns the number of images."""
    from npresnet import images
    from npresnet.images.clips import frames_of
    from npresnet.views import grid

    count = 0

    def pictures() -> Iterator[tuple[Any, str]]:
        nonlocal count
        for source, prediction in results:
            count += 1
            shown = frames_of(source) if model.network.takes_clips else [source]
            how, limit = model.config["preprocess"].value, model.config.value("max_pixels")
            try:
                picture = images.cropped(shown[len(shown) // 2], how, max_pixels=limit)
            except ImageError:  # it was there a moment ago
                picture = None
            yield picture, grid.title_of(prediction.label, prediction.score, paths.name(source))

    for page in grid.save_pages(grid_path, pictures()):
        complain(f"wrote {visible(page)}")
    return count


def _say_times(model: Model, count: int, elapsed_s: float, spent_ms: Counter[str]) -> None:
    complain(_where(model))
    word = "clip" if model.network.takes_clips else "image"
    complain(f"{count} {word}{'s' * (count > 1)} in {elapsed_s * 1e3:.1f} ms, mean {elapsed_s * 1e3 / count:.1f} ms")
    if model.config["device"].value != "cpu":
        complain(_spent(spent_ms, model.config["threads"].value))


def _spent(spent_ms: Counter[str], threads: int) -> str:
    """Sums over all images; the parts of different batches overlap."""
    words = {
        "decoding": f"decoding by {threads} thread{'s' * (threads > 1)}",
        "preparing": "preparing kernels",
        "upload": "upload",
        "gpu": "GPU",
        "download": "download",
    }
    parts = ", ".join(f"{word} {spent_ms[part]:.1f} ms" for part, word in words.items())
    return f"where the time went (parts overlap): {parts}"


def _where(model: Model) -> str:
    """The processor and its settings."""
    device, threads = model.config["device"].value, model.config["threads"].value
    if device != "cpu":
        from npresnet import cuda

        return f"GPU: {cuda.open_gpu(device).name} ({device}), {model.config['dtype'].value}"
    from npresnet.cli.doctor import cpu_name

    return f"CPU: {cpu_name()}, {threads} thread{'s' * (threads > 1)}"
