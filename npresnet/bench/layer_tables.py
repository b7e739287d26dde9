"""Times by layer as tables: one row a step, and the time beyond the floor by algorithm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from npresnet.bench import machine
from npresnet.bench.layers import ONE_THREAD
from npresnet.bench.peak import SIDE, floor_ms
from npresnet.bench.table import Table
from npresnet.bench.tables import machine_text

Case = Mapping[str, Any]  # LayerTimes.to_dict()
Step = Mapping[str, Any]  # StepTime.to_dict()


def steps_table(case: Case) -> Table:
    """One row a step, and their sum; ms are for one image."""
    steps, total_ms = case["steps"], sum_ms(case["steps"])
    rows = [_row(step["name"], step["shape"], [step], case, step["algorithm"]) for step in steps]
    rows.append(_row("sum of steps", "", steps, case, f"{total_ms / case['whole_ms']:.0%} of the whole call"))
    return Table(["layer", "shape", "ms", "share", "GFLOP/s", "of peak", "algorithm"], rows, texts=(0, 1, 6))


def rest_table(case: Case) -> Table:
    """The time by algorithm, and how much of it exceeds the floor of its multiplications."""
    groups = by_algorithm(case["steps"])
    outside_ms = case["whole_ms"] - sum_ms(case["steps"])
    rows = [_rest_row(name, str(len(steps)), sum_ms(steps), steps, case) for name, steps in groups.items()]
    rows.append(_rest_row("outside the steps", "", outside_ms, [], case))
    rows.append(_rest_row("whole call", str(len(case["steps"])), case["whole_ms"], case["steps"], case))
    return Table(["where the time goes", "steps", "ms", "floor ms", "beyond it"], rows)


def device_of(case: Case) -> str:
    """The device in words; old results, from before there was a choice, do not contain it."""
    return str(case.get("device", ONE_THREAD))


def conditions(entry: Mapping[str, Any]) -> str:
    """One paragraph: machine, devices, BLAS and its peak where it was used, date."""
    cases = entry["cases"]
    on_cpu = [case for case in cases if device_of(case) == ONE_THREAD]
    parts = [machine_text(entry["machine"]), *dict.fromkeys(device_of(case) for case in cases)]
    if on_cpu:
        peak = max(case["gemm_peak_gflops"] for case in on_cpu)
        parts += ["float32", *dict.fromkeys(machine.blas_text(list(case["blas"])) for case in on_cpu)]
        parts.append(f"GEMM peak {peak:g} GFLOP/s ({SIDE}x{SIDE}x{SIDE}, the best of several)")
    versions = dict.fromkeys(f"{name} {version}" for case in cases for name, version in case["versions"].items())
    return "; ".join([*parts, ", ".join(versions), entry["date"]]) + "."


def legend(*, has_peak: bool = True) -> str:
    """Explanation of the tables' headers; of the floor only where a GEMM peak was measured."""
    counted = "GFLOP/s count 2 FLOPs for each multiply-add of direct convolution, whatever the algorithm"
    floor = (
        "the floor is those FLOPs at the GEMM peak, so Winograd's algorithm, which multiplies less, may get below it "
        "and above 100 %"
    )
    return f"{counted}; {floor}." if has_peak else f"{counted}."


def report_text(entry: Mapping[str, Any]) -> str:
    """The tables for a terminal."""
    if not entry["cases"]:
        return "nothing was measured"
    parts = []
    for case in entry["cases"]:
        parts += [f"{case_title(case)}, {case['size']}x{case['size']}: milliseconds an image, on {device_of(case)}"]
        parts += [steps_table(case).to_text(), rest_table(case).to_text()]
    has_peak = any(case["gemm_peak_gflops"] for case in entry["cases"])
    return "\n\n".join([*parts, f"{legend(has_peak=has_peak)}\n{conditions(entry)}"])


def case_title(case: Case) -> str:
    """Model, batch, and the options that were given to `load`."""
    options = [f"{name}={value}" for name, value in case["options"].items()]
    return ", ".join([case["model"], f"batch {case['batch']}", *options])


def by_algorithm(steps: Sequence[Step]) -> dict[str, list[Step]]:
    """Steps grouped by algorithm, in order of first occurrence."""
    found: dict[str, list[Step]] = {}
    for step in steps:
        found.setdefault(algorithm_of(step), []).append(step)
    return found


def algorithm_of(step: Step) -> str:
    """The step's algorithm, or a description of a step without one."""
    return step["algorithm"] or ("matrix product" if step["flops"] else "no multiplications")


def sum_ms(steps: Sequence[Step]) -> float:
    """Milliseconds of all these steps for one image."""
    return float(sum(step["ms"] for step in steps))


def _row(name: str, shape: str, steps: Sequence[Step], case: Case, algorithm: str) -> list[str]:
    ms, share = sum_ms(steps), sum_ms(steps) / sum_ms(case["steps"])
    return [name, shape, f"{ms:.3f}", f"{share:.1%}", *speed_cells(steps, ms, case), algorithm]


def _rest_row(name: str, count: str, ms: float, steps: Sequence[Step], case: Case) -> list[str]:
    floor = floor_of(steps, case)
    return [name, count, f"{ms:.3f}", *(["", ""] if floor is None else [f"{floor:.3f}", f"{ms - floor:+.3f}"])]


def speed_cells(steps: Sequence[Step], ms: float, case: Case) -> list[str]:
    """GFLOP/s and their share of the peak; "" without multiplications, and where the peak is unknown."""
    gflops, peak = sum(step["flops"] for step in steps) / ms / 1e6, case["gemm_peak_gflops"]
    return [f"{gflops:.1f}" if gflops else "", f"{gflops / peak:.0%}" if gflops and peak else ""]


def floor_of(steps: Sequence[Step], case: Case) -> float | None:
    """Milliseconds at the GEMM peak; None where it is unknown."""
    peak = case["gemm_peak_gflops"]
    return floor_ms(sum(step["flops"] for step in steps) // 2, peak) if peak else None
