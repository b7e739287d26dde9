"""The GPU report's results as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from benchmarks.gpu import kernels
from benchmarks.gpu.ceilings import Ceilings, ceilings
from npresnet.bench.table import Table

Entry = Mapping[str, Any]
TITLES = {
    "conformance": "Conformance: each intrinsic, GPU against emulator",
    "exact": "Whole numbers: every kernel and tile, bit for bit",
    "parity": "Parity: logits against float64",
    "ceilings": "Ceilings",
    "peers": "Beside PyTorch, eager as a CUDA graph",
    "pixels": "From uint8 pixels",
    "kernels": "Kernels: share of the roofline",
    "tuning": "Every kernel and tile of every layer",
    "tiles": "Parity of every launcher and tile",
    "precisions": "The other precisions beside PyTorch",
    "compiled": 'Beside torch.compile(mode="max-autotune")',
    "sanitizer": "compute-sanitizer",
    "others": "Parity of the other networks",
    "networks": "The other networks beside PyTorch",
}


def report(entry: Entry) -> str:
    """All tables of the measured cases."""
    parts = [f"# {entry['gpu']['name']}, {entry['date']}", _conditions(entry)]
    for name, title in TITLES.items():
        found = entry.get("stages", {}).get(name)
        if found:
            parts += [f"## {title}", *_section(name, found, ceilings(entry)), *_troubles(found)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _conditions(entry: Entry) -> str:
    gpu = entry["gpu"]
    versions = ", ".join(f"{name} {version}" for name, version in gpu["versions"].items())
    limits = ", ".join(
        f"{name} {gpu[name]}" for name in ("driver_version", "power.limit", "clocks.max.sm") if name in gpu
    )
    emulated = "Tried on the emulator of CUDA kernels: nothing here is a time or a speed. " if gpu["emulated"] else ""
    what = f"Compute capability {gpu['capability'] / 10:.1f}, {gpu['multiprocessors']} multiprocessors"
    what += f", {gpu['memory_gb']} GB"
    return f"{emulated}{'; '.join(filter(None, [what, limits, versions]))}. `{entry['command']}`{_runs(entry)}"


def _runs(entry: Entry) -> str:
    """By what code the cases were measured, and how many of them not as results are."""
    runs = [case["run"] for stage in entry["stages"].values() for case in stage.values()]
    commits = ", ".join(f"{name} ({count} cases)" for name, count in Counter(run["commit"] for run in runs).items())
    few = "".join(
        f" {count} of {len(runs)} cases were measured {words}."
        for name, words in (("quick", "with --quick"), ("emulated", "on the emulator"))
        if (count := sum(run[name] for run in runs))
    )
    return f" Commits: {commits}.{few}" if runs else ""


def _section(name: str, found: Entry, limits: Ceilings | None) -> list[str]:
    if name in ("conformance", "exact", "sanitizer"):
        return [_passes(found)]
    if name in ("parity", "tiles", "others"):
        return [_passes(found), parity_table(found).to_markdown()]
    if name == "tuning":
        return [f"### {case}\n\n{tuning_table(of).to_markdown()}" for case, of in found.items() if "layers" in of]
    if name == "ceilings":
        return [ceilings_table(found).to_markdown()]
    if name == "kernels":
        return [
            f"### {case}\n\n{kernels_table(of, limits).to_markdown()}" for case, of in found.items() if "steps" in of
        ]
    return [networks_table(found).to_markdown()]


def _passes(found: Entry) -> str:
    """What cannot be measured here neither passes nor fails."""
    bad = sum("problem" in case for case in found.values())
    absent = sum("absent" in case and "problem" not in case for case in found.values())
    left = len(found) - absent
    return f"{left - bad} of {left} pass" + (f", {absent} more cannot be measured here." if absent else ".")


def _troubles(found: Entry) -> list[str]:
    """A list of failed and unavailable cases."""
    lines = [
        f"- {name}: {word}: {str(case[word]).splitlines()[0]}"
        for name, case in found.items()
        for word in ("problem", "absent")
        if case.get(word)
    ]
    return ["\n".join(lines)] if lines else []


def parity_table(found: Entry) -> Table:
    """Relative L2 error of the logits, ours and PyTorch's in the same precision."""
    rows = [
        [name, _number(case, "error"), _number(case, "gate"), case.get("top1", ""), _number(case, "torch_error")]
        for name, case in found.items()
        if "error" in case
    ]
    return Table(["network and precision", "relative error", "gate", "same best class", "torch's error"], rows)


def tuning_table(finding: Entry) -> Table:
    """Layer by layer the built-in choice and what is clearly faster, in microseconds of the whole batch."""
    rows = []
    for row in finding["layers"]:
        usual, best = row["built_in"], row["best"]
        better = [best, f"{row['us'][best]:.1f}"] if best != usual else ["", ""]
        rows.append([row["layer"], usual, f"{row['us'][usual]:.1f}", *better, str(len(row["us"]))])
    return Table(["layer", "built-in choice", "us", "faster", "us", "candidates"], rows, texts=(0, 1, 3))


def ceilings_table(found: Entry) -> Table:
    """Rates, in each case's unit."""
    rows = [
        [name, contender, f"{rate:.4g} {case['unit']}"]
        for name, case in found.items()
        for contender, rate in case.get("rates", {}).items()
    ]
    return Table(["ceiling", "reached by", "rate"], rows, texts=(0, 1))


def kernels_table(finding: Entry, limits: Ceilings | None) -> Table:
    """By kernel and tile, the slowest first; the last column is the time at the ceilings over the measured time."""
    rows = []
    for sums in kernels.by_kernel(finding):
        rates = ["", "", ""]
        if sums["ms"]:
            rates[:2] = [f"{sums['flops'] / sums['ms'] / 1e9:.1f}", f"{sums['bytes'] / sums['ms'] / 1e9:.3f}"]
            if limits is not None and finding["dtype"] in limits.flops:
                rates[2] = f"{_floor_ms(finding, sums['kernel'], limits) / sums['ms']:.0%}"
        rows.append([sums["kernel"], str(sums["steps"]), f"{sums['ms'] * 1e3:.1f}" if sums["ms"] else "", *rates])
    total = sum(row.get("ms", 0.0) for row in finding["steps"])
    if total and "ms" in finding["graph"]:
        rows.append(
            [
                "all, and the graph's own time",
                "",
                f"{total * 1e3:.1f}",
                "",
                "",
                f"{finding['graph']['ms'] * 1e3:.1f} us",
            ]
        )
    return Table(["kernel", "steps", "us", "TFLOP/s", "TB/s", "of the roofline"], rows)


def _floor_ms(finding: Entry, kernel: str, limits: Ceilings) -> float:
    """The sum over steps, because one may be limited by memory and the next by arithmetic."""
    rows = [row for row in finding["steps"] if row["kernel"] == kernel]
    return sum(limits.floor_ms(finding["dtype"], row["flops"], row["bytes"]) for row in rows)


def networks_table(found: Entry) -> Table:
    """Images a second of npresnet and of the peer, and the peer's time over ours."""
    names = list(dict.fromkeys(name for case in found.values() for name in case.get("times", {})))
    rows = [
        [case, *(_rate(of, name) for name in names), _ratio(of), _whole(of)]
        for case, of in found.items()
        if "times" in of
    ]
    return Table(["images/s (ms a batch)", *names, "torch's time / ours", "NumPy to NumPy, ms"], rows)


def _rate(case: Entry, name: str) -> str:
    ms = case["times"].get(name, {}).get("ms")
    return "" if ms is None else f"{1e3 * case['batch'] / ms:,.0f} ({ms:.4g})"


def _ratio(case: Entry) -> str:
    times = [time["ms"] for time in case["times"].values() if "ms" in time]
    return f"{times[1] / times[0]:.2f}" if len(times) == 2 else ""


def _whole(case: Entry) -> str:
    return f"{case['numpy_ms']:.4g}" if "numpy_ms" in case else ""


def _number(case: Entry, name: str) -> str:
    return f"{case[name]:.2g}" if name in case else ""
