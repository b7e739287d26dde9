"""`npresnet embed`: the pooled features of images, before the classifier."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from npresnet.cli.output import Record, form_of, say_written, written
from npresnet.cli.paths import ImagePaths, progress_of
from npresnet.cli.shared import FAILED, FINE, STDOUT, check_outputs, complain, model_of
from npresnet.errors import ImageError
from npresnet.system.files import replacing
from npresnet.system.text import visible

if TYPE_CHECKING:
    from npresnet.model.model import Model

Array = NDArray[Any]
Outcome = Array | ImageError
ARRAYS = (".npy", ".npz")
MAX_NAMED = 5  # failures in a message


def embed(args: Namespace) -> int:
    """Print the pooled features of each image as JSON, or write them to a file, in order; a failure has its place."""
    form = form_of(args, "json", others=ARRAYS)
    paths = ImagePaths.of(args)
    if args.output is not None and os.path.isfile(args.output):
        paths.list_all()  # none of a list on stdin is overwritten
    check_outputs(args, paths.files, args.output)
    if paths.is_empty:
        _write(args.output, form, 0, ((paths.name(source), paths.outcome(source, ImageError())) for source in paths))
        return FAILED
    with model_of(args) as model:
        if model.network.takes_clips:
            paths.as_clips()
        bar = progress_of(paths)
        emit = print if bar is None else bar.write
        count = _write(args.output, form, _size_of(model), _results(paths, model, args.batch_size, bar), emit)
    if args.output not in (None, STDOUT) and (count or form not in ARRAYS):
        say_written(args.output, count + paths.failures, paths.failures)
    return FAILED if paths.failures or not count else FINE


class Embeddings:
    """The kind of records that `embed` writes: {path, embedding}, or {path, error}.

    size  numbers in an embedding
    """

    def __init__(self, size: int):
        self._size = size

    def record(self, path: str, result: Outcome) -> Record:
        if isinstance(result, ImageError):
            return {"path": visible(path), "error": visible(str(result))}
        return {"path": visible(path), "embedding": [_short(value) for value in result]}

    def columns(self) -> list[str]:
        return ["path", *(f"e{number}" for number in range(self._size)), "error"]

    def row(self, path: str, result: Outcome) -> list[Any]:
        found = self.record(path, result)
        values = found.get("embedding", [None] * self._size)
        return [found["path"], *("" if value is None else value for value in values), found.get("error", "")]

    def schema(self) -> Any:
        import pyarrow as pa

        return pa.schema([("path", pa.string()), ("embedding", pa.list_(pa.float32())), ("error", pa.string())])


def _write(path: str | None, form: str, size: int, results: Iterator[tuple[str, Outcome]], emit: Any = print) -> int:
    """Write all results; returns how many are embeddings."""
    if form in ARRAYS:
        assert path is not None
        return _write_arrays(path, form, size, results)
    count = 0
    with written(path, form, Embeddings(size), emit) as writer:
        for name, result in results:
            count += not isinstance(result, ImageError)
            writer.add(name, result)
    return count


def _write_arrays(path: str, form: str, size: int, results: Iterator[tuple[str, Outcome]]) -> int:
    """One row an image, of NaN where it failed; in an .npz also `paths` and `errors`. No file where all failed."""
    nothing = np.full(size, np.nan, np.float32)
    names, rows, errors = list[str](), list[Array](), list[str]()
    for name, result in results:
        failed = isinstance(result, ImageError)
        names.append(visible(name))
        rows.append(nothing if isinstance(result, ImageError) else result)
        errors.append(visible(str(result)) if failed else "")
    count = errors.count("")
    if not count:
        complain(f"no image could be read, so {visible(path)} was not written")
        return 0
    with replacing(path) as file:
        if form == ".npz":
            np.savez(file, embeddings=np.stack(rows), paths=np.array(names), errors=np.array(errors))
        else:
            np.save(file, np.stack(rows))
    failures = [f"row {row} ({names[row]})" for row, error in enumerate(errors) if error]
    if failures:
        more = ", ..." if len(failures) > MAX_NAMED else ""
        complain(f"NaN stands in {', '.join(failures[:MAX_NAMED])}{more}: these images failed")
    return count


def _size_of(model: Model) -> int:
    """Numbers in an embedding."""
    return int(model.embed([]).shape[1])


def _results(paths: ImagePaths, model: Model, batch_size: int, bar: Any) -> Iterator[tuple[str, Outcome]]:
    """(name, embedding or error) of each image, in order."""
    try:
        sources = iter(paths)
        while batch := list(islice(sources, 1 if model.network.takes_clips else batch_size)):
            for source, result in zip(batch, _embedded(batch, model), strict=True):
                yield paths.name(source), paths.outcome(source, result)
                if bar is not None:
                    bar.update()
    finally:
        if bar is not None:
            bar.close()


def _embedded(batch: list[Any], model: Model) -> list[Outcome]:
    """Of a batch at once; where one of them fails, of each."""
    if len(batch) > 1:
        try:
            return list(model.embed(batch, batch_size=len(batch)))
        except ImageError:
            pass
    return [_one(source, model) for source in batch]


def _one(source: Any, model: Model) -> Outcome:
    try:
        found: Array = model.embed(source)
        return found
    except ImageError as error:
        return error


def _short(value: Any) -> float | None:
    """A float32 with nine digits, which identify it uniquely; None for NaN, which JSON lacks."""
    return float(f"{value:.9g}") if np.isfinite(value) else None
