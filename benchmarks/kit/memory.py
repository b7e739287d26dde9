"""Memory, not speed: every engine's process, its peak and after its last call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from npresnet.bench.compare import Say, Settings, compare_model
from npresnet.bench.engines import ENGINES, Engine
from npresnet.bench.prepare import Request
from npresnet.bench.process import WorkerError
from npresnet.bench.results import CaseResult, header
from npresnet.bench.run import Entry, Race, leave_out


def run(
    race: Race,
    settings: Settings,
    *,
    command: str,
    say: Say,
    keep: Callable[[Entry], None],
    registry: Mapping[str, Engine] = ENGINES,
) -> Entry:
    """An entry of kind "memory", without times; otherwise like `npresnet.bench.run.run`."""
    few_calls = replace(settings, rounds=1, seconds=0.0, pause_s=0.0)
    shown: Entry = {"threads": settings.threads}
    entry = header("memory", command, **shown, cases=[], skipped=[])
    for model in race.models:
        request = Request(model, "", race.size, race.seed, race.onnx)
        try:
            for case in compare_model(request, race.batches, race.chosen(registry), few_calls, say):
                entry["cases"].append(_memory_of(case))
                keep(entry)
        except WorkerError as problem:
            leave_out(entry, model, problem, say, keep)
    return entry


def _memory_of(case: CaseResult) -> Entry:
    """A case without its times."""
    kept = ("engine", "status", "reason", "peak_mb", "resident_mb", "versions", "blas")
    found = {
        name: {field: value for field, value in result.to_dict().items() if field in kept}
        for name, result in case.engines.items()
    }
    return {"model": case.model, "batch": case.batch, "size": case.size, "threads": case.threads, "engines": found}
