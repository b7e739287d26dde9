"""A whole benchmark: models times batches times engines (or layers), as one results entry that grows case by case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npresnet.bench import layer_tables, machine, tables
from npresnet.bench.busy import CpuTimes, busy_text, cpu_times, stolen_text
from npresnet.bench.compare import Say, Settings, compare_model
from npresnet.bench.engines import ENGINES, FAST, OURS, Engine, installed
from npresnet.bench.prepare import Request
from npresnet.bench.process import Process, WorkerError, worker_environ
from npresnet.bench.results import geometric_means, header

Entry = dict[str, Any]
NO_PEERS = (
    "no other engine is installed, so npresnet is timed alone; to compare it with ONNX Runtime, OpenVINO and PyTorch: "
    "python -m pip install 'npresnet[bench]', or one of onnxruntime, openvino, torch"
)
LIBRARIES = ("numpy", "torch", "onnxruntime", "openvino")


@dataclass(frozen=True)
class Race:
    """What to compare: names of models (random weights) or weight files, batches, names of engines, image size."""

    models: Sequence[str]
    batches: Sequence[int]
    engines: Sequence[str] = tuple(ENGINES)
    size: int = 224
    seed: int = 0
    onnx: str = "auto"

    def chosen(self, registry: Mapping[str, Engine] = ENGINES) -> list[Engine]:
        """The engines; npresnet is always the first, because ratios compare with it."""
        return [registry[name] for name in dict.fromkeys([OURS, *self.engines])]


def run(
    race: Race,
    settings: Settings,
    *,
    command: str,
    say: Say,
    keep: Callable[[Entry], None],
    registry: Mapping[str, Engine] = ENGINES,
    earlier: Entry | None = None,
) -> Entry:
    """Run every case and return the results entry; `keep` receives it after each case, so an interrupt loses little.

    A model that cannot be prepared is reported and recorded under "skipped"; the others continue. `earlier` is the
    entry of an interrupted run: its cases are reused where machine, versions, settings and engines are the same.
    """
    started = _begun(say)
    if set(installed(registry)) <= {OURS, FAST}:
        say(NO_PEERS)
    shown: Entry = {"threads": settings.threads, "rounds": settings.rounds, "seconds": settings.seconds}
    shown |= {"isa": settings.isa, "onnx": race.onnx, "seed": race.seed}
    shown |= {"versions": machine.library_versions(LIBRARIES), "gemm_peak_gflops": _gemm_peak(settings, say)}
    entry = header("cpu", command, **shown, cases=[], geometric_means={}, skipped=[])
    engines = race.chosen(registry)
    if earlier is not None and same_conditions(entry, earlier):
        _take_over(entry, earlier)
    taken = list(entry["cases"])
    for model in race.models:
        request = Request(model, "", race.size, race.seed, race.onnx)
        left = [batch for batch in race.batches if not _has_case(taken, engines, Path(model).name, batch, race.size)]
        try:
            for case in compare_model(request, left, engines, settings, say) if left else ():
                entry["cases"].append(case.to_dict())
                entry["geometric_means"] = geometric_means(entry["cases"])
                entry["gemm_peak_gflops"] = _larger(entry["gemm_peak_gflops"], _gemm_peak(settings, say))
                keep(entry)
        except WorkerError as problem:
            leave_out(entry, model, problem, say, keep)
    _ended(started, say)
    return entry


def run_layers(race: Race, settings: Settings, *, command: str, say: Say, keep: Callable[[Entry], None]) -> Entry:
    """npresnet alone, step by step, on one thread or a GPU: an entry of kind "layers"; otherwise like `run`.

    Each case has its own process, and as much time for its passes as an engine has in a race.
    """
    started = _begun(say)
    shown: Entry = {"threads": 1, "seconds": settings.rounds * settings.seconds, "isa": settings.isa}
    entry = header("layers", command, **shown, cases=[], skipped=[])
    for model, batch in ((model, batch) for model in race.models for batch in race.batches):
        say(f"{Path(model).name} batch {batch}: timing every step on {settings.options.get('device', 'one thread')}")
        wanted = {"model": model, "batch": batch, "size": race.size, "seed": race.seed, "options": settings.options}
        try:
            with Process(worker_environ(1, isa=settings.isa)) as process:
                timeout_s = settings.prepare_timeout_s + shown["seconds"]
                if settings.isa:
                    _require_obedience(process, settings)
                case = process.ask("layers", timeout_s=timeout_s, seconds=shown["seconds"], **wanted)
        except WorkerError as problem:
            leave_out(entry, model, problem, say, keep)
        else:
            entry["cases"].append(case)
            keep(entry)
    _ended(started, say)
    return entry


def _begun(say: Say) -> CpuTimes | None:
    """Warn where the machine is busy."""
    if text := busy_text():
        say(text)
    return cpu_times()


def _ended(started: CpuTimes | None, say: Say) -> None:
    if text := stolen_text(started):
        say(text)


def _require_obedience(process: Process, settings: Settings) -> None:
    """Raise WorkerError unless this process's BLAS and NumPy say that they are held to the instruction set."""
    said = process.ask("instructions", timeout_s=settings.prepare_timeout_s)
    if said["disobedience"]:
        raise WorkerError(f"not held to {settings.isa}: {said['disobedience']}")


def leave_out(entry: Entry, model: str, problem: WorkerError, say: Say, keep: Callable[[Entry], None]) -> None:
    """Report and record under "skipped" why a model was left out; of its file only the name."""
    name = Path(model).name
    reason = str(problem).replace(model, name)
    say(f"{name} left out: {reason}")
    entry["skipped"].append({"model": name, "reason": reason})
    keep(entry)


def same_conditions(entry: Entry, earlier: Entry) -> bool:
    """Whether two runs may share a table: the same kind, machine, versions and settings; load averages may differ."""

    def conditions(of: Entry) -> Entry:
        names = ("kind", "threads", "rounds", "seconds", "isa", "onnx", "seed", "versions")
        kept = {name: of.get(name) for name in names}
        return {**kept, **{name: value for name, value in of["machine"].items() if not name.startswith("load")}}

    return conditions(entry) == conditions(earlier)


def _take_over(entry: Entry, earlier: Entry) -> None:
    """Reuse the cases of an interrupted run, except those in which an engine has no time."""
    complete = [case for case in earlier["cases"] if all("median_ms" in e for e in case["engines"].values())]
    entry["cases"] = complete
    entry["geometric_means"] = geometric_means(complete)
    entry["gemm_peak_gflops"] = _larger(entry["gemm_peak_gflops"], earlier["gemm_peak_gflops"])


def _larger(a: float | None, b: float | None) -> float | None:
    """The larger of two peaks: a busy machine reaches less than it can."""
    return max(a or 0.0, b or 0.0) or None


def _has_case(cases: Sequence[Entry], engines: Sequence[Engine], model: str, batch: int, size: int) -> bool:
    wanted = (model, batch, size, {engine.name for engine in engines})
    return wanted in [(case["model"], case["batch"], case["size"], set(case["engines"])) for case in cases]


def report_text(entry: Entry) -> str:
    """The tables for a terminal."""
    if entry.get("kind") == "layers":
        return layer_tables.report_text(entry)
    cases = entry["cases"]
    if not cases:
        return "nothing was measured"
    times, *others = tables.race_tables(entry)
    parts = [table.to_text() for table in (times, tables.rates_table(cases), *others)]
    return "\n\n".join([*parts, "\n".join([*tables.legends(entry), *tables.problems(cases), tables.conditions(entry)])])


def has_failed(entry: Entry) -> bool:
    """Whether a model was left out, or an installed engine has no time."""
    statuses = {result["status"] for case in entry["cases"] for result in case.get("engines", {}).values()}
    return bool(entry["skipped"] or statuses & {"failed", "wrong"})


def _gemm_peak(settings: Settings, say: Say) -> float | None:
    """GFLOP/s of one thread, in a process like those of the race."""
    try:
        with Process(worker_environ(1, isa=settings.isa)) as process:
            return round(float(process.ask("peak", timeout_s=settings.call_timeout_s)["gemm_peak_gflops"]), 1)
    except WorkerError as problem:
        say(f"the GEMM peak is unknown: {problem}")
        return None
