"""What draft=True changes: JPEG files preprocessed with and without it, by how much is left for the resize to do."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import npresnet
from npresnet.bench.table import Table
from npresnet.images import Preprocess, draft, pixels

MARGINS = (1, 2, 3, 4)
BATCH = 256
Entry = dict[str, Any]
Array = NDArray[Any]


def compare(title: str, model: npresnet.Model, how: Preprocess, files: Iterable[tuple[bytes, str]]) -> Entry:
    """A set: how many labels change, and by how much logits and pixels, for each margin.

    files  (bytes, the name of its class or "") of JPEG files
    """
    kinds: tuple[int | None, ...] = (None, *MARGINS)
    taken: dict[int | None, list[Array]] = {kind: [] for kind in kinds}
    logits: dict[int | None, list[Array]] = {kind: [] for kind in kinds}
    cpu_s, pixel_sums = dict.fromkeys(kinds, 0.0), dict.fromkeys(kinds, 0.0)
    classes: list[str] = []
    for data, name in files:
        classes.append(name)
        for kind in kinds:
            start = time.thread_time()
            taken[kind].append(_pixels(data, how, kind))
            cpu_s[kind] += time.thread_time() - start
            pixel_sums[kind] += float(np.abs(taken[kind][-1].astype(np.int16) - taken[None][-1]).mean())
        if len(taken[None]) == BATCH:
            _run(model, how, taken, logits)
    _run(model, how, taken, logits)
    whole = {kind: np.concatenate(found) for kind, found in logits.items()}
    count = len(classes)
    rows = [
        {**_against(whole[None], whole[kind]), **_accuracy(whole[kind], model, classes)}
        | {"margin": kind, "pixel": pixel_sums[kind] / count, "cpu_ms": cpu_s[kind] / count * 1e3}
        for kind in kinds
    ]
    return {"title": title, "count": count, "preprocess": str(how), "rows": rows}


def table(found: Entry) -> Table:
    """One set as a table."""
    accuracy = any("accuracy" in row for row in found["rows"])
    header = [f"{found['title']}, N = {found['count']}", "labels changed", "largest change of a logit"]
    header += [
        "RMS change, of the logits' RMS",
        "mean change of a pixel, of 255",
        "ms to read it, one thread",
    ]
    return Table([*header, *["accuracy"] * accuracy], [_row(row, found["count"]) for row in found["rows"]])


def _row(row: Entry, count: int) -> list[str]:
    name = "whole" if row["margin"] is None else f"at least {row['margin']} times what is needed"
    changed = f"{row['changed']} ({100 * row['changed'] / count:.2f} %)"
    cells = [name, changed, f"{row['largest']:.3f}", f"{100 * row['rms']:.2f} %"]
    cells += [f"{row['pixel']:.2f}", f"{row['cpu_ms']:.2f}"]
    return cells + ([f"{100 * row['accuracy']:.2f} %"] if "accuracy" in row else [])


def _pixels(data: bytes, how: Preprocess, margin: int | None) -> Array:
    """(H, W, C) uint8."""
    usual = draft.MARGIN
    try:
        draft.MARGIN = margin or usual
        return pixels(data, how.evolve(draft=margin is not None))
    finally:
        draft.MARGIN = usual


def _run(
    model: npresnet.Model, how: Preprocess, taken: dict[int | None, list[Array]], logits: dict[int | None, list[Array]]
) -> None:
    """The logits of what was taken, which is emptied."""
    mean, std = (np.array(values, np.float32).reshape(-1, 1, 1) for values in (how.mean, how.std))
    for kind, images in taken.items():
        if images:
            unit = np.stack(images).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
            logits[kind].append(model((unit - mean) / std))
            images.clear()


def _against(expected: Array, found: Array) -> Entry:
    """How far logits (N, K) are from those of whole pictures; the RMS is relative to theirs."""
    difference = found.astype(np.float64) - expected
    changed = int((found.argmax(1) != expected.argmax(1)).sum())
    rms = float(np.sqrt((difference**2).mean() / (expected.astype(np.float64) ** 2).mean()))
    return {"changed": changed, "largest": float(np.abs(difference).max()), "rms": rms}


def _accuracy(logits: Array, model: npresnet.Model, classes: Sequence[str]) -> Entry:
    if not all(classes) or model.labels is None:
        return {}
    right = [model.labels[index] == name for index, name in zip(logits.argmax(1), classes, strict=True)]
    return {"accuracy": float(np.mean(right))}
