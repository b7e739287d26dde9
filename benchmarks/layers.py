"""npresnet's time step by step, on one thread of this machine's CPU.

    python benchmarks/layers.py                                     resnet18 and resnet50 at batch 1 and 8
    python benchmarks/layers.py --models wide_resnet50_2 --batches 1
    python benchmarks/layers.py --isa avx2                          as on a machine with AVX2 only

`npresnet bench --layers` prints the same; this stores it for report.py, which plots it. Close other programs first.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if not __package__:  # run as a script: npresnet and benchmarks are those of this checkout
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.kit.script import command, default_path, default_text, say
from npresnet.bench import results
from npresnet.bench.arguments import add_cases, add_pace, settings_of
from npresnet.bench.run import Entry, Race, has_failed, report_text, run_layers


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50"], help="names or weight files")
    add_cases(parser)
    add_pace(parser)
    parser.add_argument(
        "--output",
        type=Path,
        help=f"{default_text('layers')}, none with --quick",
    )
    parser.set_defaults(batches=[1, 8])
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run, print the tables, write the JSON. 1 where a model could not be timed."""
    options = parse(arguments)
    race = Race(options.models, options.batches, size=options.size)
    settings, words = settings_of(options, threads=1), command("layers", arguments)
    entry = run_layers(race, settings, command=words, say=say, keep=lambda entry: _keep(entry, options))
    print(report_text(entry))
    return int(has_failed(entry))


def _keep(entry: Entry, options: argparse.Namespace) -> None:
    path = options.output or (None if options.quick else default_path("layers", entry))
    if path:
        results.write(path, entry)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
