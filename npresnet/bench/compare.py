"""Parity first, then interleaved rounds: every engine on one model at one batch, one process active at a time.

In each round every engine has one turn: a pause in which the others' threads go to sleep, one call that is not counted,
then calls for a fraction of a second. The order rotates from round to round. So drift of the machine affects all alike,
and the spread of a ratio over the rounds shows how reliable it is.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from npresnet.bench.engines import Engine
from npresnet.bench.prepare import IMAGES, LOGITS, Prepared, Request, relative_rms_error
from npresnet.bench.process import Process, WorkerError, worker_environ
from npresnet.bench.results import CaseResult, EngineResult
from npresnet.bench.timing import rotated
from npresnet.cpu.compiler.prepared_folder import VARIABLE as PREPARED_VARIABLE

Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """The settings of a measurement. error_factor bounds an engine's RMS error in multiples of the reference's own
    float32 error: wide enough for any order of summation and for Winograd, too narrow for TF32, bfloat16 or a wrong
    layer."""

    threads: int = 2
    rounds: int = 7
    seconds: float = 0.4
    pause_s: float = 0.2
    isa: str | None = None  # to which every engine is held
    error_factor: float = 10.0
    prepare_timeout_s: float = 900.0
    load_timeout_s: float = 300.0
    call_timeout_s: float = 900.0  # the first call of torch.compile compiles
    options: Mapping[str, Any] = field(default_factory=dict)  # of npresnet.load


def compare_model(
    request: Request, batches: Sequence[int], engines: Sequence[Engine], settings: Settings, say: Say
) -> Iterator[CaseResult]:
    """Prepare a model once, then yield a CaseResult for each batch. Raises WorkerError where it cannot be prepared.

    request.folder and request.options are filled in here.
    """
    with tempfile.TemporaryDirectory(prefix="npresnet-bench-", ignore_cleanup_errors=True) as folder:
        say(f"{Path(request.model).name}: preparing weights, graph and reference")
        prepared = prepare_apart(replace(request, folder=folder, options=settings.options), settings)
        for batch in batches:
            yield compare_case(prepared, Path(request.model).name, batch, engines, settings, say)


def prepare_apart(request: Request, settings: Settings) -> Prepared:
    """`prepare` in a separate process, so that torch's memory is not counted as ours."""
    with Process(worker_environ(settings.threads)) as process:
        return Prepared(**process.ask("prepare", timeout_s=settings.prepare_timeout_s, **vars(request)))


def racing_environ(settings: Settings) -> dict[str, str]:
    """`worker_environ`, without prepared weights: what is measured would depend on what ran before, and weights made
    for a benchmark would push the user's own out of the cache."""
    return {**worker_environ(settings.threads, isa=settings.isa), PREPARED_VARIABLE: "0"}


def compare_case(
    prepared: Prepared, model: str, batch: int, engines: Sequence[Engine], settings: Settings, say: Say
) -> CaseResult:
    """Time every engine that is installed, loads, and gives the reference's logits."""
    bound = settings.error_factor * prepared.float32_error
    found = {engine.name: EngineResult(engine.name) for engine in engines}
    case = CaseResult(
        model, batch, prepared.size, settings.threads, prepared.reference, bound, prepared.onnx, prepared.macs, found
    )
    with ExitStack() as stack:
        racers = [Racer(engine, case.engines[engine.name], settings) for engine in engines]
        for racer in racers:
            stack.callback(racer.close)
            racer.start(prepared, batch, bound)
            result = racer.result
            say(f"{model} batch {batch}: {result.engine} {result.status} {result.reason}".rstrip())
        for number in range(settings.rounds):
            for racer in rotated(racers, number):
                racer.take_turn()
        for racer in racers:
            racer.finish()
    return case


class Racer:
    """One engine's process during one case. Its failures are recorded in its result, never raised."""

    def __init__(self, engine: Engine, result: EngineResult, settings: Settings):
        self.engine, self.result, self.settings = engine, result, settings
        self.process: Process | None = None

    def start(self, prepared: Prepared, batch: int, bound: float) -> None:
        """Load the engine and check its logits."""
        missing = self.engine.missing()
        if missing:
            self.result.give_up("absent", f"needs {', '.join(missing)}")
            return
        if self.settings.isa and self.engine.free:
            self.result.give_up("free", self.engine.free)
            return
        with self._failures_end_it():
            self.process = Process(racing_environ(self.settings))
            self._load(prepared, batch)
            self._check(Path(prepared.folder), bound)
        if self.settings.isa and self.process is not None:
            with self._failures_end_it():
                self._check_instructions()

    def take_turn(self) -> None:
        """Make one round's calls."""
        if self.process is None:
            return
        with self._failures_end_it():
            time.sleep(self.settings.pause_s)
            seconds, patience_s = self.settings.seconds, self.settings.call_timeout_s
            times_ms = self.process.ask("time", timeout_s=patience_s + seconds, seconds=seconds)["times_ms"]
            self.result.rounds_ms.append(times_ms)

    def finish(self) -> None:
        """Record memory, versions and BLAS, and end the process."""
        if self.process is not None:
            with self._failures_end_it():
                for name, value in self.process.ask("info", timeout_s=60.0).items():
                    setattr(self.result, name, value)
        self.close()

    def close(self) -> None:
        """End the process, if there is one."""
        if self.process is not None:
            self.process.close()
            self.process = None

    def _load(self, prepared: Prepared, batch: int) -> None:
        assert self.process is not None
        job = {
            "folder": prepared.folder,
            "model": prepared.model,
            "batch": batch,
            "threads": self.settings.threads,
            "options": dict(self.settings.options),
        }
        answer = self.process.ask("load", timeout_s=self.settings.load_timeout_s, loader=self.engine.loader, job=job)
        self.result.load_s = round(answer["load_s"], 3)

    def _check(self, folder: Path, bound: float) -> None:
        """Compare all logits of eight images with the float64 reference; a wrong engine is not timed."""
        assert self.process is not None
        save_to = folder / f"{self.engine.name}.npy"
        images = str(folder / IMAGES)
        self.process.ask("check", timeout_s=self.settings.call_timeout_s, images=images, save_to=str(save_to))
        found, expected = np.load(save_to), np.load(folder / LOGITS)
        if found.shape != expected.shape:
            self._end("wrong", f"its logits have shape {found.shape}, the reference's {expected.shape}")
            return
        self.result.error = relative_rms_error(found, expected)
        if not self.result.error <= bound:  # NaN is wrong too
            self._end("wrong", f"RMS error {self.result.error:.1e} of the logits, more than {bound:.1e}")

    def _check_instructions(self) -> None:
        """Ask which instructions it uses; one that was not held as it was told is not timed."""
        assert self.process is not None
        said = self.process.ask("instructions", timeout_s=self.settings.call_timeout_s)
        self.result.instructions, self.result.independent = said["main"], said["independent"]
        if said["disobedience"]:
            self._end("failed", f"not held to {self.settings.isa}: {said['disobedience']}")

    @contextmanager
    def _failures_end_it(self) -> Iterator[None]:
        try:
            yield
        except WorkerError as problem:
            self._end("failed", str(problem))

    def _end(self, status: Any, reason: str) -> None:
        self.result.give_up(status, reason)
        self.close()
