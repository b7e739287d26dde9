"""Bits, not speed: whether an image's logits are the same for every batch, place in it, number of threads and process.

Each model runs in fresh processes, one for each number of threads and batch size, with every requested BLAS core type.
An image's float32 logits must have the same bits in all of them (for one core type: another one rounds differently).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from npresnet.bench.compare import Say, Settings, prepare_apart
from npresnet.bench.engines import ENGINES, OURS, Engine
from npresnet.bench.prepare import IMAGES, Prepared, Request
from npresnet.bench.process import Process, worker_environ
from npresnet.bench.results import header
from npresnet.bench.table import Table
from npresnet.bench.tables import machine_text
from npresnet.network import Array

THREADS, BATCHES = (1, 2, 3), (1, 2, 3, 8)


@dataclass(frozen=True)
class Found:
    """One model with one core type: `processes` runs of `images` images; `different` results had other bits.

    kernel    the requested BLAS core type, or "default"; the name is part of the results files' format
    """

    model: str
    kernel: str
    images: int
    processes: int
    different: int


def run(
    models: Sequence[str],
    coretypes: Sequence[str | None],
    *,
    size: int,
    command: str,
    say: Say,
    keep: Callable[[dict[str, Any]], None],
    engine: Engine = ENGINES[OURS],
) -> dict[str, Any]:
    """Every model with every core type: an entry of kind "determinism". Raises WorkerError where a model cannot run."""
    entry = header("determinism", command, threads=list(THREADS), batches=list(BATCHES), cases=[])
    for model in models:
        with tempfile.TemporaryDirectory(prefix="npresnet-bits-", ignore_cleanup_errors=True) as folder:
            prepared = prepare_apart(Request(model, folder, size, onnx="npresnet"), Settings())
            for coretype in coretypes:
                say(f"{Path(model).name}: {coretype or 'the default core type'}")
                entry["cases"].append(asdict(compare_bits(prepared, Path(model).name, coretype, engine)))
                keep(entry)
    return entry


def compare_bits(prepared: Prepared, model: str, coretype: str | None, engine: Engine) -> Found:
    """Run all combinations and count the images' results that differ from the first's."""
    results = [_logits(prepared, threads, batch, coretype, engine.loader) for threads in THREADS for batch in BATCHES]
    first = results[0]
    different = sum(int((_bits(other) != _bits(first)).any(axis=1).sum()) for other in results[1:])
    return Found(model, coretype or "default", len(first), len(results), different)


def table(entry: Mapping[str, Any]) -> Table:
    """One row for each model and core type."""
    rows = [
        [case["model"], case["kernel"], str(case["images"] * case["processes"]), str(case["different"])]
        for case in entry["cases"]
    ]
    return Table(["bits of the logits", "BLAS core type", "results compared", "different"], rows, texts=(0, 1))


def conditions(entry: Mapping[str, Any]) -> str:
    """The varied parameters, the machine and the date."""
    varied = [f"{name} {', '.join(map(str, entry[name]))}" for name in ("threads", "batches")]
    return f"{'; '.join([machine_text(entry['machine']), *varied, entry['date']])}."


def _logits(prepared: Prepared, threads: int, batch: int, coretype: str | None, loader: str) -> Array:
    folder, patience_s = Path(prepared.folder), Settings().call_timeout_s
    job = {"folder": str(folder), "model": prepared.model, "batch": batch, "threads": threads, "options": {}}
    save_to = folder / "bits.npy"
    with Process(worker_environ(threads, coretype=coretype)) as process:
        process.ask("load", timeout_s=patience_s, loader=loader, job=job)
        process.ask("check", timeout_s=patience_s, images=str(folder / IMAGES), save_to=str(save_to))
    found: Array = np.load(save_to)
    return found


def _bits(logits: Array) -> Array:
    return np.ascontiguousarray(logits, np.float32).view(np.uint32)
