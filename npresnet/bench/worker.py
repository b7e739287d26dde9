"""The child process of one engine: reads requests from stdin, a line of JSON each, and answers likewise on stdout.

    {"do": "prepare", ...}                 make a model's files (see `prepare`)
    {"do": "load", "loader", "job"}        load the engine
    {"do": "check", "images", "save_to"}   run all images, save the results
    {"do": "time", "seconds"}              milliseconds of each call
    {"do": "instructions"}                 what the engine, or else NumPy, says of the instructions that it uses
    {"do": "peak"}                         the GEMM peak of this machine
    {"do": "layers", ...}                  npresnet's time step by step (see `layers`)
    {"do": "info"}                         memory, versions, BLAS
    {"do": "stop"}

An answer contains "error" where the request failed. The end of stdin ends the worker, so none outlives its parent.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from npresnet.bench import isa, machine, memory, words
from npresnet.bench.engines import Job, Loaded
from npresnet.bench.timing import time_calls


class Worker:
    """One method for each request; they share the loaded engine and its input."""

    def __init__(self) -> None:
        self.engine: Loaded | None = None
        self.batch = 1
        self.fed: Any = None

    def prepare(self, **request: Any) -> dict[str, Any]:
        from npresnet.bench.prepare import Request, prepare

        return prepare(Request(**request)).to_dict()

    def load(self, loader: str, job: dict[str, Any]) -> dict[str, Any]:
        module, _, function = loader.partition(":")
        start = time.perf_counter()
        paths = {"folder": Path(job["folder"]), "model": Path(job["model"])}
        self.engine = getattr(importlib.import_module(module), function)(Job(**{**job, **paths}))
        self.batch = job["batch"]
        return {"load_s": time.perf_counter() - start}

    def check(self, images: str, save_to: str) -> dict[str, Any]:
        """Run the images in batches of the timed size (the last one wraps around); keep the first as input."""
        engine, x = self._loaded(), np.load(images)  # (8, C, H, W)
        batches = [np.take(x, range(i, i + self.batch), axis=0, mode="wrap") for i in range(0, len(x), self.batch)]
        self.fed = engine.feed(batches[0])
        results = [np.array(engine.run(engine.feed(part))) for part in batches]
        np.save(save_to, np.concatenate(results)[: len(x)])
        return {}

    def time(self, seconds: float) -> dict[str, Any]:
        engine, fed = self._loaded(), self.fed
        return {"times_ms": time_calls(lambda: engine.run(fed), seconds=seconds)}

    def instructions(self) -> dict[str, Any]:
        if self.engine is None:
            report = words.of_numpy()
        else:
            report = self.engine.report(self.fed) if self.engine.report else isa.Report({})
        return {"disobedience": isa.disobedience(report), "main": report.main, "independent": isa.independent(report)}

    def peak(self) -> dict[str, Any]:
        from npresnet.bench.peak import gemm_peak_gflops

        return {"gemm_peak_gflops": gemm_peak_gflops()}

    def layers(self, **request: Any) -> dict[str, Any]:
        from npresnet.bench.layers import Request, time_layers

        return time_layers(Request(**request)).to_dict()

    def info(self) -> dict[str, Any]:
        return {
            **memory.memory()._asdict(),
            "versions": dict(self._loaded().versions),
            "blas": machine.blas_libraries(),
        }

    def _loaded(self) -> Loaded:
        if self.engine is None:
            raise RuntimeError("no engine is loaded")
        return self.engine


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer requests until "stop" or the end."""
    worker = Worker()
    for line in requests:
        request = json.loads(line)
        do = request.pop("do")
        if do == "stop":
            return
        try:
            answer = getattr(worker, do)(**request)
        except Exception as problem:  # the parent reports an engine's errors
            traceback.print_exc()
            answer = {"error": f"{type(problem).__name__}: {problem}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def run(answer: Callable[[TextIO, TextIO], None]) -> None:
    """answer(stdin, stdout), with stdout reserved for answers: libraries' output is redirected to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    answer(sys.stdin, answers)


if __name__ == "__main__":
    run(serve)
