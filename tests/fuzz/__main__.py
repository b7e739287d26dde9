"""`python -m tests.fuzz --inputs 100000`: fuzz every format, print a table; exit 1 if an input failed.

`--only npz --first 4711 --inputs 1 --keep bad.npz` makes one input again and keeps it.
"""

from __future__ import annotations

import argparse
import sys

from tests.fuzz import runner
from tests.fuzz.formats import FORMATS

HEAD = "| format | inputs | refused | read | compared | slowest, ms | largest growth, MB | failures |"


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    if options.keep:
        with open(options.keep, "wb") as file:
            file.write(runner.make(options.only[0], FORMATS[options.only[0]], options.seed, options.first))
    print(HEAD + "\n|" + "---|" * 8, flush=True)
    failures = 0
    for name in options.only or FORMATS:
        report = runner.run(name, FORMATS[name], options.inputs, options.seed, options.first)
        print(row(name, report), flush=True)
        for number, failure in report.failures[:20]:
            print(f"{name}, input {number}: {failure}", file=sys.stderr)
        failures += len(report.failures)
    return int(failures > 0)


def row(name: str, report: runner.Report) -> str:
    cells = (name, report.inputs, report.inputs - report.loaded, report.loaded, report.compared,
             round(1000 * report.slowest.seconds), round(report.largest.growth_mb), len(report.failures))  # fmt: skip
    return "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else cell for cell in cells) + " |"


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000, help="for each format")
    parser.add_argument("--only", action="append", choices=list(FORMATS), help="a format; may be given several times")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--keep", metavar="FILE", help="write the first input of the only format to FILE")
    options = parser.parse_args(arguments)
    if options.keep and not options.only:
        parser.error("--keep needs --only")
    return options


if __name__ == "__main__":
    sys.exit(main())
