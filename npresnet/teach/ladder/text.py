"""A climb as a table for the terminal and docs/performance.md, and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from npresnet.bench import machine
from npresnet.bench.table import Table
from npresnet.bench.tables import machine_text
from npresnet.teach.ladder.climb import Ladder
from npresnet.teach.pages import assemble

Entry = Mapping[str, Any]  # Ladder.to_dict()


def table(entry: Entry) -> Table:
    """A row a rung."""
    header = ["rung", "ms", "GFLOP/s", "of peak", "GB/s", "of copying", "error", "lines", "proved", "on"]
    return Table(header, [_row(step) for step in entry["steps"]], texts=(0, 8, 9))


def legend(entry: Entry) -> list[str]:
    """What the table's header cannot say, and what was extrapolated."""
    parts = [
        f"{step['name']}: {step['computed']:.2%} of the layer was computed, the time is extrapolated"
        for step in entry["steps"]
        if step["computed"] < 1
    ]
    parts += [f"{step['name']}: {step['note']}" for step in entry["steps"] if step.get("note")]
    peak, bandwidth = entry["gemm_peak_gflops"], entry["bandwidth_gb_per_s"]
    parts.append(
        f"peak: {peak:.1f} GFLOP/s, the product of 1024x1024 matrices; copying: {bandwidth:.1f} GB/s read and written; "
        "both measured here on one thread of the CPU, a GPU's likewise on it. error: RMS against float64, relative"
    )
    return parts


def heading(entry: Entry) -> str:
    """The layer in one line."""
    shape = entry["shape"]
    window = f"stride {shape['stride'][0]}" + (f", {shape['groups']} groups" if shape["groups"] > 1 else "")
    return (
        f"{entry['layer']} of {entry['model']} on {entry['image']}: {_shape(shape['x'])} -> {_shape(shape['out'])}, "
        f"filters {_shape(shape['weight'])}, {window}, {entry['macs'] / 1e6:.1f} M multiply-adds"
    )


def conditions(entry: Entry) -> str:
    """Machine and BLAS in one sentence."""
    parts = [machine_text(entry["machine"]), machine.blas_text(entry["blas"]), "one thread", "float32", entry["date"]]
    return f"{'; '.join(parts)}."


def to_text(ladder: Ladder) -> str:
    """For the terminal."""
    entry = ladder.to_dict()
    return "\n".join([heading(entry), "", table(entry).to_text(), "", *legend(entry), conditions(entry)])


def to_page(ladder: Ladder) -> str:
    """A self-contained HTML page."""
    entry = ladder.to_dict()
    steps = [{**shown, "code": step.code} for shown, step in zip(entry["steps"], ladder.steps, strict=True)]
    data = {**entry, "steps": steps, "conditions": conditions(entry)}
    title = f"{ladder.layer} climbs the ladder"
    return assemble(title, "ladder.html", data, styles=["page.css", "ladder.css"], scripts=["page.js", "ladder.js"])


def _row(step: Mapping[str, Any]) -> list[str]:
    error = "" if step["error"] is None else f"{step['error']:.1e}"
    ends = [error, str(step["lines"]), step["status"], step["device"]]
    if step["ms"] is None:
        return [step["name"], "", "", "", "", "", *ends]
    figures = [_digits(step["ms"]), _digits(step["gflops"]), _percent(step["of_peak"])]
    return [step["name"], *figures, _digits(step["gb_per_s"]), _percent(step["of_bandwidth"]), *ends]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _digits(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
