"""Write docs/performance.md from the newest results, with the machine and command of every figure.

    python benchmarks/report.py                       the page and docs/speed-*.svg from benchmarks/results
    python benchmarks/report.py --check               exit 1 where the page differs from the results

Only the text between <!-- speed:start --> and <!-- speed:end --> is replaced, and in kernels/README.md that between
<!-- ladder:start --> and <!-- ladder:end -->. Drawing needs matplotlib
(`pip install 'npresnet[viz]'`); checking does not: it only tests that the pictures exist.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: npresnet and benchmarks are those of this checkout
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.kit import determinism, draft, folder, plots
from benchmarks.kit.pages import replaced
from benchmarks.kit.script import RESULTS
from benchmarks.kit.tables import cold_problems, cold_table, layers_table
from npresnet.arch.families import torchvision
from npresnet.bench import layer_tables, tables
from npresnet.bench.isa import TITLES
from npresnet.teach.ladder import text as ladder

ROOT = Path(__file__).resolve().parent.parent
START, END = "<!-- speed:start -->", "<!-- speed:end -->"
LADDER_START, LADDER_END = "<!-- ladder:start -->", "<!-- ladder:end -->"
Entry = dict[str, Any]
# kind -> file beside the page, its description, the function that draws it
PICTURES: dict[str, tuple[str, str, Callable[[Entry, Path], None]]] = {
    "cpu": (
        "speed-throughput.svg",
        "Images per second against batch, each engine on each model",
        plots.throughput,
    ),
    "layers": ("speed-layers.svg", "Milliseconds of each layer, coloured by its algorithm", plots.layers),
}
NOTHING_MEASURED = """\
Nothing has been measured on a GPU yet: the kernels were written and proved without one (below). `npresnet ladder
--device cuda --json` times this ladder, and `benchmarks/report.py` puts its results here; `benchmarks/gpu_report.py`
proves and times every kernel, and writes a page of its own."""
_HELD = {"": "", **{isa: f", every engine held to {name}" for isa, name in TITLES.items()}}
CONDITIONS = {
    "layers": layer_tables.conditions,
    "determinism": determinism.conditions,
    "ladder": ladder.conditions,
}


def newest(folder: Path) -> list[Entry]:
    """The newest results file of each kind, instruction set and other networks; by date, then by name.

    Races on processors without AVX-512, which most desktops have, stand beside the others.
    """
    found: dict[tuple[str, str, str, bool], tuple[str, str, Entry]] = {}
    for path in sorted(folder.glob("*.json")):
        entry = json.loads(path.read_text(encoding="utf-8"))
        if entry["kind"] in ("gpu", "families", "ray", "serve"):  # they have pages of their own
            continue
        key = (entry["kind"], held_to(entry), other_networks(entry), lacks_avx512(entry))
        found[key] = max(found.get(key, ("", "", {})), (entry["date"], path.name, entry), key=lambda item: item[:2])
    return [found[key][2] for key in sorted(found)]


def held_to(entry: Entry) -> str:
    """The instruction set to which all engines were held, or an OpenBLAS core type for npresnet alone, else nothing."""
    return entry.get("isa") or entry.get("coretype") or ""


def lacks_avx512(entry: Entry) -> bool:
    """Whether a race ran on an x86 processor that has AVX2 at most."""
    flags = entry["machine"].get("flags", ())
    return entry["kind"] == "cpu" and "avx2" in flags and "avx512f" not in flags


def other_networks(entry: Entry) -> str:
    """The names of a race's networks where none of them is torchvision's, else nothing."""
    models = {case["model"] for case in entry["cases"]} if entry["kind"] == "cpu" else set()
    return "" if models & torchvision.ARCHS.keys() else ", ".join(sorted(models))


def with_best_peak(entries: Sequence[Entry]) -> list[Entry]:
    """Races with the largest GEMM peak of all results for their processor and instruction set: a busy machine reaches
    less than it can."""
    found: dict[tuple[str, str, str], float] = {}
    for entry in entries:
        key = _processor(entry)
        peaks = [of.get("gemm_peak_gflops") or 0.0 for of in (entry, *_cases(entry))]
        found[key] = max(found.get(key, 0.0), *peaks)
    return [
        {**entry, "gemm_peak_gflops": found[_processor(entry)]}
        if entry["kind"] == "cpu" and entry.get("gemm_peak_gflops")
        else entry
        for entry in entries
    ]


def _processor(entry: Entry) -> tuple[str, str, str]:
    """With the instructions that were used; a name alone may be that of several generations."""
    machine = entry["machine"]
    return machine["cpu"], machine.get("cpu_family_model", ""), held_to(entry)


def _cases(entry: Entry) -> list[Entry]:
    return entry.get("cases", []) if entry["kind"] in ("cpu", "layers") else []


def pictures(entries: Sequence[Entry]) -> dict[str, Entry]:
    """Kind -> the entry of its picture: results of engines that were not held, which come first, where available."""
    shown = {entry["kind"]: entry for entry in reversed(entries)}
    return {kind: shown[kind] for kind in PICTURES if kind in shown}


def sections(entries: Sequence[Entry]) -> list[str]:
    """All results files as Markdown, each picture under the tables that it shows."""
    drawn = pictures(entries)
    return [
        section(entry) + (f"\n\n{picture_link(entry['kind'])}" if drawn.get(entry["kind"]) is entry else "")
        for entry in entries
    ]


def picture_link(kind: str) -> str:
    """The picture in Markdown."""
    path, what, _ = PICTURES[kind]
    return f"![{what}]({path})"


def section(entry: Entry) -> str:
    """One results file as Markdown: heading, tables, engines without times, conditions, command."""
    asked = _HELD.get(held_to(entry), f", OpenBLAS asked for its core type {held_to(entry)}")
    if entry["kind"] == "coldstart":
        heading = f"**A fresh process from weight file to label** ({entry['model']}{asked})"
        shown, notes = [cold_table(entry)], cold_problems(entry)
    elif entry["kind"] == "folder":
        heading = f"**A folder of photos to labels**, whole processes ({entry['model']})"
        shown, notes = [folder.table(entry)], folder.notes(entry)
    elif entry["kind"] == "draft":
        heading = "**Photos scaled while they are decoded** (`draft=True`)"
        shown, notes = [draft.table(found) for found in entry["sets"]], []
    elif entry["kind"] == "memory":
        heading = f"**Memory of each engine's process, batch by batch**{asked}"
        shown, notes = [tables.memory_table(entry["cases"])], tables.problems(entry["cases"])
    elif entry["kind"] == "determinism":
        heading = "**The same bits** in any batch, at any place in it, on any number of threads, in any process"
        shown, notes = [determinism.table(entry)], []
    elif entry["kind"] == "ladder":
        heading = f"**One layer on every rung**: {ladder.heading(entry)}"
        shown, notes = [ladder.table(entry)], ladder.legend(entry)
    elif entry["kind"] == "layers":
        heading = f"**Where the time goes: one thread, step by step**{asked}"
        shown, notes = [layers_table(entry["cases"])], [layer_tables.legend()]
    else:
        others = other_networks(entry)
        where = ", on a processor without AVX-512" if lacks_avx512(entry) else ""
        heading = f"**Inference, and memory of each engine's process**{others and f': {others}'}{asked}{where}"
        shown, notes = tables.race_tables(entry), [*tables.legends(entry), *tables.problems(entry["cases"])]
    conditions = CONDITIONS.get(entry["kind"], tables.conditions)
    made_by = f"Made by `{entry['command']}`. {conditions(entry)}"
    return "\n\n".join([heading, *(table.to_markdown() for table in shown), *notes, made_by])


def ladder_sections(entries: Iterable[Entry]) -> list[str]:
    """The section of kernels/README.md: the ladders measured on a GPU, or that there are none."""
    climbed = [entry for entry in entries if entry["kind"] == "ladder" and any(map(_on_gpu, entry["steps"]))]
    return [section(entry) for entry in climbed] or [NOTHING_MEASURED]


def _on_gpu(step: Entry) -> bool:
    return not step["device"].startswith("CPU")


def draw(drawn: dict[str, Entry], folder: Path) -> None:
    """Draw the pictures into the page's folder. Raises SystemExit where matplotlib is missing."""
    try:
        for kind, entry in drawn.items():
            path, _, drawer = PICTURES[kind]
            drawer(entry, folder / path)
    except ImportError as problem:
        raise SystemExit(f"the page is written, its pictures are not: {problem}") from None


def main(arguments: list[str]) -> int:
    """Rewrite or check the page, draw its pictures or check that they exist."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md")
    parser.add_argument("--kernels-readme", type=Path, default=ROOT / "kernels" / "README.md")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    old = options.page.read_text(encoding="utf-8")
    entries = with_best_peak(newest(options.results))
    new, drawn = replaced(old, sections(entries), (START, END)), pictures(entries)
    old_ladder = options.kernels_readme.read_text(encoding="utf-8")
    new_ladder = replaced(old_ladder, ladder_sections(entries), (LADDER_START, LADDER_END))
    if options.check:
        lacks = [kind for kind in drawn if not (options.page.parent / PICTURES[kind][0]).is_file()]
        return int((new, new_ladder) != (old, old_ladder) or bool(lacks))
    options.page.write_text(new, encoding="utf-8")
    options.kernels_readme.write_text(new_ladder, encoding="utf-8")
    draw(drawn, options.page.parent)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
