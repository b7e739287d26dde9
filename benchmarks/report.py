"""Write the README's speed tables from the newest results, so that every figure has its machine and command beside it.

    python benchmarks/report.py                       README.md from benchmarks/results
    python benchmarks/report.py --check               exit 1 where the README is not what the results say

Only the text between <!-- speed:start --> and <!-- speed:end --> is replaced.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the checkout, where npresnet is not installed

from npresnet.bench import tables

HERE = Path(__file__).resolve().parent
START, END = "<!-- speed:start -->", "<!-- speed:end -->"
Entry = dict[str, Any]


def newest(folder: Path) -> list[Entry]:
    """The newest results file of each kind and BLAS kernel asked for; by date, then by name."""
    found: dict[tuple[str, str], tuple[str, str, Entry]] = {}
    for path in sorted(folder.glob("*.json")):
        entry = json.loads(path.read_text(encoding="utf-8"))
        key = (entry["kind"], entry.get("coretype") or "")
        found[key] = max(found.get(key, ("", "", {})), (entry["date"], path.name, entry), key=lambda item: item[:2])
    return [found[key][2] for key in sorted(found)]


def section(entry: Entry) -> str:
    """One results file as Markdown: heading, tables, what showed no time, conditions, command."""
    kernel = f", OpenBLAS asked for its {entry['coretype']} kernels" if entry.get("coretype") else ""
    if entry["kind"] == "coldstart":
        heading = f"**A fresh process from weight file to label** ({entry['model']}{kernel})"
        shown, notes = [tables.cold_table(entry)], tables.cold_problems(entry)
    else:
        cases = entry["cases"]
        heading = f"**Inference, and memory of each engine's process**{kernel}"
        shown = [tables.times_table(cases), tables.ratios_table(cases), tables.memory_table(cases)]
        notes = tables.problems(cases)
    made_by = f"Made by `{entry['command']}`. {tables.conditions(entry)}"
    return "\n\n".join([heading, *(table.to_markdown() for table in shown), *notes, made_by])


def replaced(readme: str, sections: Iterable[str]) -> str:
    """The README with new text between the markers. Raises SystemExit where they are missing or out of order."""
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise SystemExit(f"the README needs the line {START} and, below it, {END}")
    return before + "\n\n".join([START, *sections, END]) + after


def main(arguments: list[str]) -> int:
    """Rewrite or check the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--readme", type=Path, default=HERE.parent / "README.md")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    old = options.readme.read_text(encoding="utf-8")
    new = replaced(old, map(section, newest(options.results)))
    if options.check:
        return int(new != old)
    options.readme.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
