"""The tables of a race of engines, and the sentences around them: legends, conditions, what has no time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import geometric_mean
from typing import Any

from npresnet.bench import machine
from npresnet.bench.engines import ENGINES, FAST, OURS
from npresnet.bench.isa import held_text
from npresnet.bench.peak import floor_ms
from npresnet.bench.results import geometric_means
from npresnet.bench.table import Table

Case = Mapping[str, Any]  # CaseResult.to_dict()
EAGER = ("torch", "torch-channels-last")
COMPILING = ("torch-compile", "onnxruntime", "openvino")
BUSY = 0.5  # the load average from which the machine counts as used by others
SHOWN_NOWHERE = ("absent", "free")
NO_TIME = {"absent": "not installed", "free": "left out", "failed": "failed", "wrong": "wrong result"}


def engine_names(cases: Sequence[Case]) -> list[str]:
    """The installed engines in their order, ours first; without those that cannot be held."""
    found = ((name, entry["status"]) for case in cases for name, entry in case["engines"].items())
    names = list(dict.fromkeys(name for name, status in found if status not in SHOWN_NOWHERE))
    return sorted(names, key=lambda name: name != OURS)


def race_tables(entry: Mapping[str, Any]) -> list[Table]:
    """All tables of an entry of kind "cpu": times, ratios, the best peer, memory, errors."""
    cases = entry["cases"]
    times = times_table(cases, entry.get("gemm_peak_gflops"))
    tables = [times, ratios_table(cases), best_table(cases), memory_table(cases), error_table(cases)]
    return [table for table in map(Table.without_empty, tables) if len(table.header) > 1]


def times_table(cases: Sequence[Case], peak_gflops: float | None = None) -> Table:
    """Milliseconds an image: the median, and the middle half of all calls.

    Where the GEMM peak of one thread is known, also the floor: direct convolution at that peak on every thread. An
    algorithm with fewer multiplications, such as Winograd's, may be below it.
    """
    names = engine_names(cases)
    rows = [[_case_title(case), *(_time_cell(case, name) for name in names)] for case in cases]
    if peak_gflops is None or not all(case.get("macs") for case in cases):
        return Table(["ms per image", *map(title, names)], rows)
    floors = [f"{floor_ms(case['macs'], peak_gflops, case['threads']):.2f}" for case in cases]
    rows = [[*row, floor] for row, floor in zip(rows, floors, strict=True)]
    return Table(["ms per image", *map(title, names), "floor (direct)"], rows)


def rates_table(cases: Sequence[Case]) -> Table:
    """Images a second at the median time, and the milliseconds of a call that one in twenty exceeds."""
    names = engine_names(cases)
    rows = [[_case_title(case), *(_rate_cell(case, name) for name in names)] for case in cases]
    return Table(["images/s (p95 ms of a call)", *map(title, names)], rows).without_empty()


def ratios_table(cases: Sequence[Case]) -> Table:
    """Peer's time over ours (above 1 we are faster), and the range of that ratio over the rounds.

    The column of fast=True is the default's time over that of fast=True.
    """
    names = [name for name in engine_names(cases) if name != OURS]
    rows = [[_case_title(case), *(_ratio_cell(case, name) for name in names)] for case in cases]
    means = geometric_means([dict(case) for case in cases])
    if len(cases) > 1:
        rows.append(["geometric mean", *(f"{means[name]:.2f}" if name in means else "" for name in names)])
    return Table(["peer's time / ours", *map(title, names)], rows)


def best_table(cases: Sequence[Case]) -> Table:
    """The faster of PyTorch's two eager layouts, and the fastest engine that compiles, over npresnet's two modes.

    For each mode the peer's median time over npresnet's; above 1 npresnet is faster. The last columns are the same for
    least times, which a busy machine affects less. The last row is the geometric mean.
    """
    modes = [name for name in (OURS, FAST) if any("median_ms" in case["engines"].get(name, {}) for case in cases)]
    columns = [
        (kind, mode, peers, time)
        for kind, peers, time in (
            ("eager", EAGER, "median_ms"),
            ("compiling", COMPILING, "median_ms"),
            ("compiling, least times", COMPILING, "min_ms"),
        )
        for mode in modes
    ]
    found = [[_best_ratio(case, peers, mode, time) for _, mode, peers, time in columns] for case in cases]
    rows = [[_case_title(case), *map(_two_digits, row)] for case, row in zip(cases, found, strict=True)]
    if len(cases) > 1:
        means = [[ratio for ratio in column if ratio] for column in zip(*found, strict=True)]
        rows.append(["geometric mean", *(_two_digits(geometric_mean(column) if column else None) for column in means)])
    header = [f"{kind} / {title(mode)}" for kind, mode, _, _ in columns]
    return Table(["best peer's time / ours", *header], rows)


def error_table(cases: Sequence[Case]) -> Table:
    """RMS error of the logits of eight images against float64, relative to the logits' own RMS."""
    names = engine_names(cases)
    rows = [[_case_title(case), *(_error_cell(case["engines"].get(name, {})) for name in names)] for case in cases]
    return Table(["RMS error, 1e-7 of the logits", *map(title, names)], rows)


def memory_table(cases: Sequence[Case]) -> Table:
    """Resident memory in MB: the peak, and after the last call."""
    names = engine_names(cases)
    rows = [[_case_title(case), *(_memory_cell(case["engines"].get(name, {})) for name in names)] for case in cases]
    return Table(["peak (steady) MB", *map(title, names)], rows)


def title(name: str) -> str:
    """An engine's title."""
    return ENGINES[name].title if name in ENGINES else name


def problems(cases: Sequence[Case]) -> list[str]:
    """A sentence for each engine without a time."""
    sentences = (
        f"{title(name)}: {NO_TIME[entry['status']]} ({entry.get('reason', '')})"
        + ("" if entry["status"] in SHOWN_NOWHERE else f", {_case_title(case)}")
        for case in cases
        for name, entry in case["engines"].items()
        if entry["status"] != "ok"
    )
    return list(dict.fromkeys(sentences))


def legends(entry: Mapping[str, Any]) -> list[str]:
    """Explanation of the tables' headers."""
    peak, found = entry.get("gemm_peak_gflops"), []
    if peak and any(case.get("macs") for case in entry["cases"]):
        found.append(
            f"Floor (direct): 2 FLOPs for each multiply-add of direct convolution, at the {peak:g} GFLOP/s a thread "
            "that this BLAS reached at best on 1024x1024 matrices; Winograd's algorithm multiplies less and may get "
            "below it."
        )
    if entry.get("isa"):
        found.append(held_text(entry, title))
    if any(FAST in case["ratios"] for case in entry["cases"]):
        found.append(f"Under {title(FAST)!r} the ratio is the default's time / that with fast=True.")
    return found


def conditions(entry: Mapping[str, Any]) -> str:
    """One paragraph: machine, threads, BLAS core type, versions, date."""
    libraries = dict.fromkeys(
        machine.blas_text(case["engines"][OURS]["blas"])
        for case in entry.get("cases", ())
        if case["engines"].get(OURS, {}).get("blas")
    )
    parts = [
        machine_text(entry["machine"]),
        f"{entry['threads']} threads",
        "float32",
        *(["BLAS under npresnet: " + "; ".join(libraries)] if libraries else []),
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
    """All libraries of the comparison with their versions."""
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


def _rate_cell(case: Case, name: str) -> str:
    entry = case["engines"].get(name, {})
    if "median_ms" not in entry:
        return ""
    late = f" ({entry['p95_ms']:.2f})" if "p95_ms" in entry else ""
    return f"{1e3 * case['batch'] / entry['median_ms']:.1f}{late}"


def _ratio_cell(case: Case, name: str) -> str:
    entry = case["ratios"].get(name)
    return f"{entry['ratio']:.2f} ({entry['lowest']:.2f}-{entry['highest']:.2f})" if entry else ""


def _best_ratio(case: Case, peers: Sequence[str], mode: str, time: str) -> float | None:
    ours = case["engines"].get(mode, {}).get(time)
    theirs = [case["engines"].get(name, {}).get(time) for name in peers]
    timed = [milliseconds for milliseconds in theirs if milliseconds is not None]
    return min(timed) / ours if timed and ours else None


def _two_digits(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _error_cell(entry: Mapping[str, Any]) -> str:
    return "" if entry.get("error") is None else f"{entry['error'] * 1e7:.2f}"


def _memory_cell(entry: Mapping[str, Any]) -> str:
    if entry.get("peak_mb") is None:
        return ""
    steady = entry.get("resident_mb")
    return f"{entry['peak_mb']:.0f}" + (f" ({steady:.0f})" if steady is not None else "")
