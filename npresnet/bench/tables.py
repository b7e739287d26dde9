"""Results as tables: the same cells as aligned text for a terminal and as Markdown for the README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from npresnet.bench import machine
from npresnet.bench.engines import ENGINES, OURS
from npresnet.bench.results import geometric_means

Case = Mapping[str, Any]  # CaseResult.to_dict()
BUSY = 0.5  # a load average from which on others were using the machine
NO_TIME = {"absent": "not installed", "failed": "failed", "wrong": "wrong result"}


@dataclass(frozen=True)
class Table:
    """A header and rows of equally many cells; the first column is text, the others numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def to_text(self) -> str:
        """Columns aligned with spaces, under a rule."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        texts = [
            "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(columns))
            for columns in (list(zip(line, widths, strict=True)) for line in lines)
        ]
        return "\n".join([texts[0], "-" * len(texts[0]), *texts[1:]])

    def to_markdown(self) -> str:
        """A GitHub table."""
        rule = ["---", *["---:"] * (len(self.header) - 1)]
        return "\n".join(f"| {' | '.join(line)} |" for line in [self.header, rule, *self.rows])


def engine_names(cases: Sequence[Case]) -> list[str]:
    """The engines that are installed, in their order, ours first."""
    found = ((name, entry["status"]) for case in cases for name, entry in case["engines"].items())
    names = list(dict.fromkeys(name for name, status in found if status != "absent"))
    return sorted(names, key=lambda name: name != OURS)


def times_table(cases: Sequence[Case]) -> Table:
    """Milliseconds an image: the median, and the middle half of all calls."""
    names = engine_names(cases)
    rows = [[_case_title(case), *(_time_cell(case, name) for name in names)] for case in cases]
    return Table(["ms per image", *map(title, names)], rows)


def ratios_table(cases: Sequence[Case]) -> Table:
    """Peer's time over ours (above 1 we are faster), and the range of that ratio over the rounds."""
    names = [name for name in engine_names(cases) if name != OURS]
    rows = [[_case_title(case), *(_ratio_cell(case, name) for name in names)] for case in cases]
    means = geometric_means([dict(case) for case in cases])
    if len(cases) > 1:
        rows.append(["geometric mean", *(f"{means[name]:.2f}" if name in means else "" for name in names)])
    return Table(["peer's time / ours", *map(title, names)], rows)


def memory_table(cases: Sequence[Case]) -> Table:
    """Resident memory in MB: at most, and after the last call."""
    names = engine_names(cases)
    rows = [[_case_title(case), *(_memory_cell(case["engines"].get(name, {})) for name in names)] for case in cases]
    return Table(["peak (steady) MB", *map(title, names)], rows)


def cold_table(entry: Mapping[str, Any]) -> Table:
    """Whole processes: wall time with its middle half, peak memory, and time over that of the first program (ours)."""
    programs = [program for program in entry["programs"].values() if program["status"] != "absent"]
    base = programs[0].get("median_ms")
    header = ["from file to label", "wall ms", "peak MB", "time / ours"]
    return Table(header, [[program["title"], *_cold_cells(program, base)] for program in programs])


def cold_problems(entry: Mapping[str, Any]) -> list[str]:
    """A sentence for each program that shows no time."""
    return [
        f"{program['title']}: {NO_TIME[program['status']]} ({program['reason']})"
        for program in entry["programs"].values()
        if program["status"] != "ok"
    ]


def title(name: str) -> str:
    """What tables call an engine."""
    return ENGINES[name].title if name in ENGINES else name


def problems(cases: Sequence[Case]) -> list[str]:
    """A sentence for each engine that shows no time."""
    sentences = (
        f"{title(name)}: {NO_TIME[entry['status']]} ({entry.get('reason', '')})"
        + ("" if entry["status"] == "absent" else f", {_case_title(case)}")
        for case in cases
        for name, entry in case["engines"].items()
        if entry["status"] != "ok"
    )
    return list(dict.fromkeys(sentences))


def conditions(entry: Mapping[str, Any]) -> str:
    """One paragraph: machine, threads, BLAS kernel, versions, day."""
    kernels = dict.fromkeys(
        machine.blas_text(case["engines"][OURS]["blas"])
        for case in entry.get("cases", ())
        if case["engines"].get(OURS, {}).get("blas")
    )
    parts = [
        machine_text(entry["machine"]),
        f"{entry['threads']} threads",
        "float32",
        *(["BLAS under npresnet: " + "; ".join(kernels)] if kernels else []),
        versions_text(entry),
        entry["date"],
    ]
    return "; ".join(filter(None, parts)) + "."


def machine_text(found: Mapping[str, Any]) -> str:
    """The machine in a few words."""
    widest = next((flag for flag in ("avx512f", "avx2", "asimd") if flag in found["flags"]), "")
    vectors = {"avx512f": "AVX-512", "avx2": "AVX2", "asimd": "NEON"}.get(widest, "")
    words = [found["cpu"], found["cpu_family_model"], f"{found['cpus']} CPUs", vectors, found["system"]]
    busy = f"load average {found['load_average']} at the start" if (found.get("load_average") or 0) >= BUSY else ""
    return ", ".join(filter(None, [*words, f"Python {found['python']}", busy]))


def versions_text(entry: Mapping[str, Any]) -> str:
    """Every library that took part, with its version."""
    found: dict[str, str] = dict(entry.get("versions", {}))
    for case in entry.get("cases", ()):
        for result in case["engines"].values():
            found.update(result.get("versions", {}))
    return ", ".join(f"{name} {version}" for name, version in found.items())


def _case_title(case: Case) -> str:
    return f"{case['model']}, batch {case['batch']}"


def _time_cell(case: Case, name: str) -> str:
    entry = case["engines"].get(name)
    if entry is None or "median_ms" not in entry:
        return NO_TIME.get(entry["status"], "") if entry else ""
    low, middle, high = (entry[key] / case["batch"] for key in ("p25_ms", "median_ms", "p75_ms"))
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def _ratio_cell(case: Case, name: str) -> str:
    entry = case["ratios"].get(name)
    return f"{entry['ratio']:.2f} ({entry['lowest']:.2f}-{entry['highest']:.2f})" if entry else ""


def _cold_cells(program: Mapping[str, Any], base: float | None) -> list[str]:
    if "median_ms" not in program:
        return [NO_TIME[program["status"]], "", ""]
    low, middle, high = (program[key] for key in ("p25_ms", "median_ms", "p75_ms"))
    peak = f"{program['peak_mb']:.0f}" if "peak_mb" in program else ""
    return [f"{middle:.0f} ({low:.0f}-{high:.0f})", peak, f"{middle / base:.2f}" if base else ""]


def _memory_cell(entry: Mapping[str, Any]) -> str:
    if entry.get("peak_mb") is None:
        return ""
    steady = entry.get("resident_mb")
    return f"{entry['peak_mb']:.0f}" + (f" ({steady:.0f})" if steady is not None else "")
