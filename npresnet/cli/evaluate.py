"""`npresnet eval`: how often a model is right on labelled images."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from npresnet.cli.shared import FAILED, FINE, check_outputs, complain, model_of, say
from npresnet.errors import ImageError
from npresnet.system.files import replacing, require_replaceable
from npresnet.system.progress import progress_bar
from npresnet.system.signals import raise_signals
from npresnet.system.text import padded, visible, width

if TYPE_CHECKING:
    from npresnet.model.evaluation import ClassResult, Evaluation
    from npresnet.model.model import Model

MAX_ROWS = 40  # classes of the text's table; of more, the worst
WORST = 20
MAX_CLASSES = 5_000  # of a confusion matrix


def evaluate(args: Namespace) -> int:
    """Print accuracy; 1 where an image could not be read, or none was there."""
    from npresnet.model.class_folders import read_samples

    _check_name(args.confusion)
    samples = read_samples(args.samples)
    check_outputs(args, [args.samples, args.classes, *(path for path, _ in samples.rows)], args.confusion)
    with model_of(args) as model:
        _check_size(args.confusion, model)
        total = len(samples.rows)
        with progress_bar(total=total, unit="image", file=sys.stderr, leave=False, disable=None) as bar:
            found = model.evaluate(samples, classes=args.classes, batch_size=args.batch_size, progress=bar.update)
    for note in found.notes:
        complain(note)
    for path, error in found.failed:
        complain(error if path in error else f"{path}: {error}")
    if found.errors > len(found.failed):
        complain(f"{found.errors - len(found.failed):,} further images could not be classified")
    print(json.dumps(found.to_dict())) if args.json else say(to_text(found))
    if args.confusion:
        _write_confusion(args.confusion, found)
    return FAILED if found.errors or not found.images else FINE


def to_text(found: Evaluation) -> str:
    """The figures, then a line a class."""
    from npresnet.model.evaluation import percent

    top5 = "fewer than five classes" if len(found.labels) < 5 else f"{percent(found.top5)}  {found.correct5:,}"
    lines = [
        f"top-1   {percent(found.top1)}  {found.correct:,} of {found.images:,}",
        f"top-5   {top5}",
        f"images  {found.images:,}, errors {found.errors:,}, {found.images_per_s:.1f} images/s",
        "",
        *_table(found),
    ]
    return "\n".join(lines)


def _table(found: Evaluation) -> list[str]:
    rows = [row for row in found.per_class if row.images]
    absent = len(found.labels) - len(rows)
    told = [f"{absent:,} class{'es' * (absent > 1)} without images"] if absent else []
    if len(rows) > MAX_ROWS:
        told.append(f"the {WORST} worst of {len(rows):,} classes; --json has all")
        rows = sorted(rows, key=lambda row: (row.top1 or 0.0, row.index))[:WORST]
    mistaken: dict[int, str] = {}
    for true, guess, count in found.confused():
        mistaken.setdefault(true, f"{visible(found.labels[guess])} ({count:,})")
    columns = max([5, *(width(visible(row.label)) for row in rows)])
    head = f"{padded('class', columns)}  {'images':>7}  {'top-1':>8}  most often taken for"
    return [head, *(_line(row, columns, mistaken.get(row.index, "")) for row in rows), *told]


def _line(row: ClassResult, columns: int, mistaken: str) -> str:
    from npresnet.model.evaluation import percent

    return f"{padded(visible(row.label), columns)}  {row.images:>7,}  {percent(row.top1):>8}  {mistaken}".rstrip()


def _check_name(path: str | None) -> None:
    """Before an hour is spent."""
    if path is None:
        return
    try:
        require_replaceable(path)
    except OSError as error:
        raise_signals(error)
        raise ImageError(f"--confusion {path}: it cannot be written: {error.strerror}") from error
    if path.lower().endswith(".csv"):
        return
    from PIL import Image

    kind = Image.registered_extensions().get(os.path.splitext(path)[1].lower())
    try:
        Image.new("RGB", (256, 256)).save(io.BytesIO(), kind or "none")
    except (OSError, ValueError, KeyError) as error:  # of no picture, or of one that Pillow reads but cannot write
        raise_signals(error)
        raise ImageError(
            f"--confusion {path}: expected a name that ends in .png (or another picture's), or .csv"
        ) from error


def _check_size(path: str | None, model: Model) -> None:
    count = model.config.value("num_classes")
    if path is not None and count > MAX_CLASSES:
        raise ImageError(f"--confusion {path}: {count:,} classes make too large a matrix; --json has every class")


def _write_confusion(path: str, found: Evaluation) -> None:
    """A picture, or a table whose first column names the true class and whose other columns the predicted ones."""
    if path.lower().endswith(".csv"):
        data = _csv(found.labels, found.confusion.tolist())
    else:
        from PIL import Image

        from npresnet.views.confusion import draw_confusion

        file = io.BytesIO()
        kind = Image.registered_extensions()[os.path.splitext(path)[1].lower()]
        draw_confusion(found.confusion, found.labels).save(file, kind)
        data = file.getvalue()
    with replacing(path) as out:
        out.write(data)
    complain(f"wrote {visible(path)}: a row for each true class, a column for each predicted one")


def _csv(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [visible(label) for label in labels]
    writer.writerow(["true \\ predicted", *names])
    for name, row in zip(names, counts, strict=True):
        writer.writerow([name, *row])
    return text.getvalue().encode("utf-8")
