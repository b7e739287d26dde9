"""Times by layer as tables: a row a step, and where the time beyond the floor goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from npresnet.bench import machine
from npresnet.bench.peak import SIDE, floor_ms
from npresnet.bench.tables import Table, machine_text

Case = Mapping[str, Any]  # LayerTimes.to_dict()
Step = Mapping[str, Any]  # StepTime.to_dict()


def steps_table(case: Case) -> Table:
    """A row a step, and their sum; ms are of one image."""
    steps, total_ms = case["steps"], sum_ms(case["steps"])
    rows = [_row(step["name"], step["shape"], [step], case, step["algorithm"]) for step in steps]
    rows.append(_row("sum of steps", "", steps, case, f"{total_ms / case['whole_ms']:.0%} of the whole call"))
    return Table(["layer", "shape", "ms", "share", "GFLOP/s", "of peak", "algorithm"], rows, texts=(0, 1, 6))


def rest_table(case: Case) -> Table:
    """Where the time goes, by algorithm, and how much of it is beyond the floor of its multiplications."""
    steps, whole_ms = case["steps"], case["whole_ms"]
    groups = [(name, str(len(of)), sum_ms(of), sum_floor_ms(of, case)) for name, of in by_algorithm(steps).items()]
    groups.append(("outside the steps", "", whole_ms - sum_ms(steps), 0.0))
    groups.append(("whole call", str(len(steps)), whole_ms, sum_floor_ms(steps, case)))
    rows = [[name, count, f"{ms:.3f}", f"{floor:.3f}", f"{ms - floor:+.3f}"] for name, count, ms, floor in groups]
    return Table(["where the time goes", "steps", "ms", "floor ms", "beyond it"], rows)


def conditions(entry: Mapping[str, Any]) -> str:
    """One paragraph: machine, BLAS, peak, day."""
    cases = entry["cases"]
    libraries = dict.fromkeys(machine.blas_text(list(case["blas"])) for case in cases)
    versions = dict.fromkeys(f"{name} {version}" for case in cases for name, version in case["versions"].items())
    peak = max(case["gemm_peak_gflops"] for case in cases)
    parts = [
        machine_text(entry["machine"]),
        "one thread",
        "float32",
        *libraries,
        f"GEMM peak {peak:g} GFLOP/s ({SIDE}x{SIDE}x{SIDE}, the best of several)",
        ", ".join(versions),
        entry["date"],
    ]
    return "; ".join(parts) + "."


def legend() -> str:
    """What the tables' headers cannot say."""
    return (
        "GFLOP/s count 2 FLOPs for each multiply-add of direct convolution, whatever the algorithm; the floor is those "
        "FLOPs at the GEMM peak, so Winograd's algorithm, which multiplies less, may get below it and above 100 %."
    )


def report_text(entry: Mapping[str, Any]) -> str:
    """The tables for a terminal."""
    if not entry["cases"]:
        return "nothing was measured"
    parts = []
    for case in entry["cases"]:
        parts += [f"{case_title(case)}, {case['size']}x{case['size']}: milliseconds an image, on one thread"]
        parts += [steps_table(case).to_text(), rest_table(case).to_text()]
    return "\n\n".join([*parts, f"{legend()}\n{conditions(entry)}"])


def case_title(case: Case) -> str:
    """Model, batch, and the options that were given to `load`."""
    options = [f"{name}={value}" for name, value in case["options"].items()]
    return ", ".join([case["model"], f"batch {case['batch']}", *options])


def by_algorithm(steps: Sequence[Step]) -> dict[str, list[Step]]:
    """Steps by their algorithm, in order of the first."""
    found: dict[str, list[Step]] = {}
    for step in steps:
        found.setdefault(algorithm_of(step), []).append(step)
    return found


def algorithm_of(step: Step) -> str:
    """What the step says of itself, or what can be said of one that is silent."""
    return step["algorithm"] or ("matrix product" if step["flops"] else "no multiplications")


def sum_ms(steps: Sequence[Step]) -> float:
    """Milliseconds of all these steps, an image."""
    return float(sum(step["ms"] for step in steps))


def sum_floor_ms(steps: Sequence[Step], case: Case) -> float:
    """Milliseconds that the multiply-adds of all these steps take at least, an image."""
    return floor_ms(sum(step["flops"] for step in steps) // 2, case["gemm_peak_gflops"])


def _row(name: str, shape: str, steps: Sequence[Step], case: Case, algorithm: str) -> list[str]:
    ms, share = sum_ms(steps), sum_ms(steps) / sum_ms(case["steps"])
    gflops = sum(step["flops"] for step in steps) / ms / 1e6
    speed = [f"{gflops:.1f}", f"{gflops / case['gemm_peak_gflops']:.0%}"] if gflops else ["", ""]
    return [name, shape, f"{ms:.3f}", f"{share:.1%}", *speed, algorithm]
