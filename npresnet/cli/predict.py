"""`npresnet predict`: images in, labels out."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any

from npresnet.cli.output import Csv, Emit, Json, JsonLines, Text
from npresnet.cli.shared import FAILED, FINE, ImagePaths, complain, model_of
from npresnet.errors import ImageError
from npresnet.model.prediction import Prediction, parts_ms_of
from npresnet.system.progress import progress_bar

if TYPE_CHECKING:
    from npresnet.model.model import Model


def predict(args: Namespace) -> int:
    """Print each image's labels; with --grid, draw them, too. Images that cannot be read are reported and skipped."""
    if args.ray is not None or args.output or args.resume or args.workers:
        from npresnet.cli import cluster

        return cluster.predict(args)
    paths = ImagePaths(args.images)
    if paths.total == 0:  # errors were already reported
        empty = _writer(args, print, paths)
        empty.begin()
        empty.end()
        return FAILED
    with model_of(args) as model:
        if model.network.takes_clips:
            paths.as_clips()
        start = perf_counter()
        bar = _progress_bar(args, paths)
        writer = _writer(args, bar.write if bar else print, paths)
        writer.begin()
        spent_ms: Counter[str] = Counter()
        written = _written(args, paths, model, writer, bar, spent_ms)
        try:
            count = _draw(args.grid, written, model) if args.grid else sum(1 for _ in written)
        finally:
            writer.end()  # also after an error, so that JSON output is valid
        if isinstance(writer, Text) and count:
            _print_times(model, count, perf_counter() - start, spent_ms)
    return FAILED if paths.failures or not count else FINE


def _written(
    args: Namespace, paths: ImagePaths, model: Model, writer: Any, bar: Any, spent_ms: Counter[str]
) -> Iterator[tuple[str, Prediction]]:
    """Classify the images and write the predictions; yields each after it was written, with its times in `spent_ms`."""
    top = args.top or (1 if isinstance(writer, Text) else 5)
    try:
        for path, result in model.stream(paths, top=top, batch_size=args.batch_size):
            if isinstance(result, ImageError):
                paths.report(path, result)
            else:
                spent_ms.update(parts_ms_of(result))
                writer.add(path, result)
                yield path, result
            if bar:
                bar.update()
    finally:
        if bar:
            bar.close()


def _draw(grid_path: str, written: Iterator[tuple[str, Prediction]], model: Model) -> int:
    """Draw pages of the preprocessed images, of clips the frame in the middle; returns the number of images."""
    from npresnet import images
    from npresnet.images.clips import frames_of
    from npresnet.views import grid

    count = 0

    def pictures() -> Iterator[tuple[Any, str]]:
        nonlocal count
        for path, prediction in written:
            count += 1
            shown = frames_of(path) if model.network.takes_clips else [path]
            how, limit = model.config["preprocess"].value, model.config.value("max_pixels")
            picture = images.cropped(shown[len(shown) // 2], how, max_pixels=limit)
            yield picture, f"predict:{prediction.label}"

    for page in grid.save_pages(grid_path, pictures()):
        complain(f"wrote {page}")
    return count


def _writer(args: Namespace, emit: Emit, paths: ImagePaths) -> Text | Json | JsonLines | Csv:
    if args.json:
        return Json(emit)
    if args.jsonl:
        return JsonLines(emit)
    return Csv(emit) if args.csv else Text(emit, paths.width)


def _progress_bar(args: Namespace, paths: ImagePaths) -> Any:
    """A progress bar on stderr for folders, if it is a terminal."""
    if not sys.stderr.isatty() or not any(argument == "-" or os.path.isdir(argument) for argument in args.images):
        return None
    return progress_bar(total=paths.total, unit="image", file=sys.stderr, leave=False)


def _print_times(model: Model, count: int, elapsed_s: float, spent_ms: Counter[str]) -> None:
    print(_where(model))
    word = "clip" if model.network.takes_clips else "image"
    print(f"{count} {word}{'s' * (count > 1)} in {elapsed_s * 1e3:.1f} ms, mean {elapsed_s * 1e3 / count:.1f} ms")
    if model.config["device"].value != "cpu":
        print(_spent(spent_ms, model.config["threads"].value))


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
