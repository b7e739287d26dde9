"""Tables of the scripts; those of `npresnet bench` are in `npresnet.bench.tables` and `layer_tables`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from npresnet.bench.layer_tables import Case, case_title, device_of, floor_of, speed_cells, sum_ms
from npresnet.bench.table import Table
from npresnet.bench.tables import NO_TIME


def cold_table(entry: Mapping[str, Any]) -> Table:
    """Whole processes: wall time with its middle half, peak memory, and time over that of the first program (ours)."""
    programs = [program for program in entry["programs"].values() if program["status"] != "absent"]
    base = programs[0].get("median_ms")
    header = ["from file to label", "wall ms", "peak MB", "time / ours"]
    return Table(header, [[program["title"], *_cold_cells(program, base)] for program in programs])


def cold_problems(entry: Mapping[str, Any]) -> list[str]:
    """A sentence for each program without a time."""
    return [
        f"{program['title']}: {NO_TIME[program['status']]} ({program['reason']})"
        for program in entry["programs"].values()
        if program["status"] != "ok"
    ]


def layers_table(cases: Sequence[Case]) -> Table:
    """One row for each model and batch: the whole call, its steps, the floor."""
    devices = " / ".join(dict.fromkeys(device_of(case) for case in cases))
    header = [f"ms per image, {devices}", "whole call", "sum of steps", "without multiplications", "floor (direct)"]
    return Table([*header, "GFLOP/s", "of peak"], [_layers_row(case) for case in cases])


def _cold_cells(program: Mapping[str, Any], base: float | None) -> list[str]:
    if "median_ms" not in program:
        return [NO_TIME[program["status"]], "", ""]
    low, middle, high = (program[key] for key in ("p25_ms", "median_ms", "p75_ms"))
    peak = f"{program['peak_mb']:.0f}" if "peak_mb" in program else ""
    return [f"{middle:.0f} ({low:.0f}-{high:.0f})", peak, f"{middle / base:.2f}" if base else ""]


def _layers_row(case: Case) -> list[str]:
    steps = case["steps"]
    others = [step for step in steps if not step["flops"]]
    floor = floor_of(steps, case)
    times = [f"{ms:.2f}" for ms in (case["whole_ms"], sum_ms(steps), sum_ms(others))]
    return [
        case_title(case),
        *times,
        "" if floor is None else f"{floor:.2f}",
        *speed_cells(steps, case["whole_ms"], case),
    ]
