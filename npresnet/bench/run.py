"""A whole benchmark: models times batches times engines, as one results entry that grows case by case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npresnet.bench import tables
from npresnet.bench.compare import Say, Settings, compare_model
from npresnet.bench.engines import ENGINES, OURS, Engine
from npresnet.bench.prepare import Request
from npresnet.bench.process import WorkerError
from npresnet.bench.results import geometric_means, header

Entry = dict[str, Any]


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
        """The engines, npresnet first and always there, for it is what the ratios compare with."""
        return [registry[name] for name in dict.fromkeys([OURS, *self.engines])]


def run(
    race: Race,
    settings: Settings,
    *,
    command: str,
    say: Say,
    keep: Callable[[Entry], None],
    registry: Mapping[str, Engine] = ENGINES,
) -> Entry:
    """Run every case and return the results entry; `keep` gets it after each case, so that a cut loses little.

    A model that cannot be prepared is said and recorded under "skipped", and the others go on.
    """
    shown = {"threads": settings.threads, "rounds": settings.rounds, "seconds": settings.seconds}
    entry = header("cpu", command, **shown, coretype=settings.coretype, cases=[], geometric_means={}, skipped=[])
    for model in race.models:
        request = Request(model, "", race.size, race.seed, race.onnx)
        try:
            for case in compare_model(request, race.batches, race.chosen(registry), settings, say):
                entry["cases"].append(case.to_dict())
                entry["geometric_means"] = geometric_means(entry["cases"])
                keep(entry)
        except WorkerError as problem:
            say(f"{Path(model).name} left out: {problem}")
            entry["skipped"].append({"model": Path(model).name, "reason": str(problem)})
    return entry


def report_text(entry: Entry) -> str:
    """The tables for a terminal."""
    cases = entry["cases"]
    if not cases:
        return "nothing was measured"
    parts = [table.to_text() for table in (tables.times_table(cases), tables.ratios_table(cases))]
    notes = [*tables.problems(cases), tables.conditions(entry)]
    return "\n\n".join([*parts, tables.memory_table(cases).to_text(), "\n".join(notes)])
