"""The same bits whatever the batch, the place in it, the threads and the process: counted, not timed.

python benchmarks/determinism.py                                    resnet18, resnet50, resnext50_32x4d
python benchmarks/determinism.py --openblas-coretypes Haswell       as a machine with AVX2 alone would run it
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the checkout, where npresnet is not installed

from npresnet.bench import determinism, results
from npresnet.bench.arguments import count

RESULTS = Path(__file__).resolve().parent / "results"


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    models = ["resnet18", "resnet50", "resnext50_32x4d"]
    parser.add_argument("--models", nargs="+", default=models, help="names or weight files")
    parser.add_argument("--size", type=count, default=224, metavar="S", help="height and width of the images (224)")
    parser.add_argument(
        "--openblas-coretypes", nargs="+", default=[], metavar="NAME", help="kernels beside the default"
    )
    default = f"default: {RESULTS.name}/determinism-<machine>-<date>.json beside this file"
    parser.add_argument("--output", type=Path, help=default)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run, print the table, write the JSON. 1 where any bit differed."""
    options = parse(arguments)

    def keep(entry: dict[str, Any]) -> None:
        results.write(options.output or RESULTS / results.file_name("determinism", entry), entry)

    kernels = [None, *options.openblas_coretypes]
    entry = determinism.run(options.models, kernels, size=options.size, command=command(arguments), say=_say, keep=keep)
    print(determinism.table(entry).to_text())
    return int(any(case["different"] for case in entry["cases"]))


def command(arguments: list[str]) -> str:
    """How this was called; of files only their names, for results are published."""
    return shlex.join(["python", "benchmarks/determinism.py", *(results.without_folder(word) for word in arguments)])


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
