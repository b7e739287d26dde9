"""Memory of each engine's process by batch size: its peak, and after its last call.

    python benchmarks/memory.py                                     resnet18 and resnet50 in batches of 1, 8, 32
    python benchmarks/memory.py --models all --batches 1 128

Each engine has its own process, checks eight images and makes a few calls; times are not recorded. Libraries, images
and checks are those of vs_peers.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if not __package__:  # run as a script: npresnet and benchmarks are those of this checkout
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.kit import memory
from benchmarks.kit.script import command, default_path, default_text, models, say
from npresnet.bench import results, tables
from npresnet.bench.arguments import add_cases, add_engines
from npresnet.bench.compare import Settings
from npresnet.bench.engines import ENGINES
from npresnet.bench.run import Entry, Race, has_failed


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50"], help="names, weight files, or: all")
    add_cases(parser)
    add_engines(parser, engines=list(ENGINES), threads=2)
    parser.add_argument("--output", type=Path, help=default_text("memory"))
    parser.set_defaults(batches=[1, 8, 32])
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run, print the table, write the JSON. 1 where an installed engine failed or is wrong."""
    options = parse(arguments)

    def keep(entry: Entry) -> None:
        results.write(options.output or default_path("memory", entry), entry)

    race = Race(models(options.models), options.batches, options.engines, options.size, onnx=options.onnx)
    entry = memory.run(race, Settings(options.threads), command=command("memory", arguments), say=say, keep=keep)
    shown = [tables.memory_table(entry["cases"]).to_text(), *tables.problems(entry["cases"]), tables.conditions(entry)]
    print("\n".join(shown) if entry["cases"] else "nothing was measured")
    return int(has_failed(entry))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
