"""Two pictures of results as SVG: throughput against batch, and time by layer. Needs matplotlib.

The same results give the same bytes (with the same matplotlib): no date, no random identifiers. Text is drawn as
outlines, so a picture looks the same in every viewer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from npresnet.bench import layer_tables, tables
from npresnet.bench.engines import FAST, OURS
from npresnet.bench.peak import floor_ms

Entry = Mapping[str, Any]

# Okabe and Ito's colours, distinguishable with colour blindness, and markers for prints in grey.
ENGINE_STYLES = {
    OURS: ("#D55E00", "o"),
    FAST: ("#E69F00", "D"),
    "torch": ("#999999", "v"),
    "torch-channels-last": ("#56B4E9", "^"),
    "torch-compile": ("#0072B2", "s"),
    "onnxruntime": ("#009E73", "P"),
    "openvino": ("#CC79A7", "X"),
}
OTHER_STYLE = ("#000000", ".")
ALGORITHM_COLOURS = "#4477AA #EE6677 #228833 #CCBB44 #66CCEE #AA3377 #BBBBBB #332288 #882255 #44AA99".split()
COLUMNS = 3  # of panels
PANEL_IN, NAMES_IN, BAR_IN, TOP_IN, BOTTOM_IN = 4.2, 1.3, 0.165, 0.65, 1.3  # inches: of a panel, its names, a bar, ...
FLOOR = "floor: direct convolution at the GEMM peak"
STYLE = {
    "svg.hashsalt": "npresnet",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


def throughput(entry: Entry, path: Path) -> None:
    """Images a second against batch: one panel a model, one line an engine; results of kind "cpu"."""
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(case["model"] for case in entry["cases"]))
    names = tables.engine_names(entry["cases"])
    columns = min(COLUMNS, len(models))
    rows = -(-len(models) // columns)
    with _style():
        figure = Figure(figsize=(1.4 + 2.9 * columns, 1.0 + 2.6 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False)
        for panel, model in zip(panels.flat, models, strict=False):
            _throughput_panel(panel, [case for case in entry["cases"] if case["model"] == model], names, entry)
        for panel in panels.flat[len(models) :]:
            panel.set_axis_off()
        for panel in panels[:, 0]:
            panel.set_ylabel("images per second")
        for panel in panels[-1]:
            panel.set_xlabel("batch")
        found = {handle.get_label(): handle for panel in panels.flat for handle in panel.lines}
        labels = [label for label in [*map(tables.title, names), FLOOR] if label in found]
        handles = [found[label] for label in labels]
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))
        figure.suptitle(f"Throughput, {entry['threads']} threads, float32 (higher is better)", fontsize=11)
        _save(figure, path)


def layers(entry: Entry, path: Path) -> None:
    """Milliseconds of each step, one bar a step, coloured by its algorithm; results of kind "layers".

    Only the cases with the largest batch; a black mark shows each step's floor.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    largest = max(case["batch"] for case in entry["cases"])
    cases = [case for case in entry["cases"] if case["batch"] == largest][:COLUMNS]
    algorithms = dict.fromkeys(layer_tables.algorithm_of(step) for case in cases for step in _shown(case))
    colours = {name: ALGORITHM_COLOURS[i % len(ALGORITHM_COLOURS)] for i, name in enumerate(algorithms)}
    bars_in = [BAR_IN * len(_shown(case)) for case in cases]
    width_in, height_in = PANEL_IN * len(cases), TOP_IN + max(bars_in) + BOTTOM_IN
    with _style():
        figure = Figure(figsize=(width_in, height_in))
        for column, (case, bar_in) in enumerate(zip(cases, bars_in, strict=True)):
            left_in, bottom_in = column * PANEL_IN + NAMES_IN, height_in - TOP_IN - bar_in
            box_in = (left_in / width_in, bottom_in / height_in, (PANEL_IN - NAMES_IN - 0.15) / width_in)
            _layers_panel(figure.add_axes((*box_in, bar_in / height_in)), case, colours)
        handles: list[Any] = [Patch(color=colour, label=name) for name, colour in colours.items()]
        floor = Line2D([], [], color="black", linewidth=1.4, linestyle="none", marker="|", markersize=8)
        floor.set_label(FLOOR)
        figure.legend(handles=[*handles, floor], loc="lower center", ncols=3)
        figure.suptitle("Time by layer, one thread, float32 (shorter is better)", fontsize=11, y=1 - 0.1 / height_in)
        _save(figure, path)


def _throughput_panel(panel: Any, cases: Sequence[Mapping[str, Any]], names: Sequence[str], entry: Entry) -> None:
    cases = sorted(cases, key=lambda case: case["batch"])
    batches = [case["batch"] for case in cases]
    for name in reversed(names):  # ours is drawn last, on top
        timed = [case for case in cases if "median_ms" in case["engines"].get(name, {})]
        rates = [1e3 * case["batch"] / case["engines"][name]["median_ms"] for case in timed]
        colour, mark = ENGINE_STYLES.get(name, OTHER_STYLE)
        width = 2.2 if name in (OURS, FAST) else 1.3
        label = tables.title(name)
        panel.plot([c["batch"] for c in timed], rates, color=colour, marker=mark, markersize=5, lw=width, label=label)
    macs, peak = cases[0].get("macs"), entry.get("gemm_peak_gflops")
    if macs and peak:
        rate = 1e3 / floor_ms(macs, peak, entry["threads"])
        panel.axhline(rate, color="black", lw=0.9, ls=(0, (4, 3)), label=FLOOR)
    panel.set_xscale("log", base=2)
    panel.set_xticks(batches, [str(batch) for batch in batches])
    panel.minorticks_off()
    panel.margins(x=0.08, y=0.1)
    panel.set_ylim(bottom=0)
    panel.grid(axis="y")
    panel.set_title(cases[0]["model"])


def _layers_panel(panel: Any, case: Mapping[str, Any], colours: Mapping[str, str]) -> None:
    steps = _shown(case)
    places = range(len(steps))
    times_ms = [step["ms"] for step in steps]
    panel.barh(places, times_ms, color=[colours[layer_tables.algorithm_of(step)] for step in steps], height=0.78)
    floors = [(place, floor_ms(step["flops"] // 2, case["gemm_peak_gflops"])) for place, step in enumerate(steps)]
    multiplying = [(place, ms) for place, ms in floors if ms]
    panel.plot([ms for _, ms in multiplying], [place for place, _ in multiplying], "|", color="black", ms=7, mew=1.4)
    panel.set_yticks(places, [step["name"] for step in steps], fontsize=7)
    panel.tick_params(axis="y", length=0)
    panel.set_ylim(len(steps) - 0.4, -0.6)  # the first step on top
    panel.set_xlim(left=0)
    panel.grid(axis="x")
    panel.set_xlabel("ms per image")
    panel.set_title(f"{layer_tables.case_title(case)}: {case['whole_ms']:.1f} ms")


def _shown(case: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The steps long enough to be visible: at least a thousandth of the whole."""
    return [step for step in case["steps"] if step["ms"] >= 1e-3 * case["whole_ms"]]


def _style() -> Any:
    import matplotlib

    return matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE})


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
