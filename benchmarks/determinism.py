"""The same bits for every batch, place in it, number of threads and process: counted, not timed.

python benchmarks/determinism.py                                resnet18, resnet50, resnext50_32x4d
python benchmarks/determinism.py --openblas-coretypes Haswell   as on a machine with AVX2 only
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: npresnet and benchmarks are those of this checkout
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.kit import determinism
from benchmarks.kit.script import command, default_path, default_text, say
from npresnet.bench import results
from npresnet.bench.arguments import count


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    models = ["resnet18", "resnet50", "resnext50_32x4d"]
    parser.add_argument("--models", nargs="+", default=models, help="names or weight files")
    parser.add_argument("--size", type=count, default=224, metavar="S", help="height and width of the images (224)")
    parser.add_argument(
        "--openblas-coretypes", nargs="+", default=[], metavar="NAME", help="core types beside the default"
    )
    parser.add_argument("--output", type=Path, help=default_text("determinism"))
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run, print the table, write the JSON. 1 where any bit differed."""
    options = parse(arguments)

    def keep(entry: dict[str, Any]) -> None:
        results.write(options.output or default_path("determinism", entry), entry)

    coretypes = [None, *options.openblas_coretypes]
    words = command("determinism", arguments)
    entry = determinism.run(options.models, coretypes, size=options.size, command=words, say=say, keep=keep)
    print(determinism.table(entry).to_text())
    return int(any(case["different"] for case in entry["cases"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
