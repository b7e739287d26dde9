"""npresnet beside PyTorch, ONNX Runtime and OpenVINO on this machine's CPU: parity first, then interleaved rounds.

    python benchmarks/vs_peers.py                                   resnet18 and resnet50 at batch 1 and 8
    python benchmarks/vs_peers.py --models all --batches 1 8        every classifier of torchvision
    python benchmarks/vs_peers.py --openblas-coretype Haswell       as a machine with AVX2 alone would run it

Float32, equal threads, each engine in its own process with every OPENBLAS_* variable unset. Engines that are not
installed are left out (`pip install 'npresnet[bench]'` brings them all). Close other programs first.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the checkout, where npresnet is not installed

from npresnet.bench import results, torchvision_models
from npresnet.bench.compare import Settings
from npresnet.bench.engines import ENGINES
from npresnet.bench.run import Entry, Race, report_text, run

RESULTS = Path(__file__).resolve().parent / "results"


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50"], help="names, weight files, or: all")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.4, help="of calls an engine and round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument(
        "--onnx", choices=["auto", "torch", "npresnet"], default="auto", help="who writes the ONNX file"
    )
    parser.add_argument("--openblas-coretype", metavar="NAME", help="ask OpenBLAS for one kernel, such as Haswell")
    parser.add_argument("--quick", action="store_true", help="one short round; kept only where --output says so")
    parser.add_argument(
        "--output", type=Path, help=f"default: {RESULTS.name}/cpu-<machine>-<date>.json beside this file"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run, print the tables, write the JSON. 1 where an engine that is installed shows no time."""
    options = parse(arguments)
    race = Race(_models(options.models), options.batches, options.engines, options.size, onnx=options.onnx)
    settings = Settings(options.threads, options.rounds, options.seconds, coretype=options.openblas_coretype)
    if options.quick:
        settings = replace(settings, rounds=1, seconds=0.05, pause_s=0.05)
    entry = run(race, settings, command=command(arguments), say=_say, keep=lambda entry: _keep(entry, options))
    print(report_text(entry))
    statuses = {result["status"] for case in entry["cases"] for result in case["engines"].values()}
    return int(bool(entry["skipped"] or statuses & {"failed", "wrong"}))


def command(arguments: list[str]) -> str:
    """How this was called; of files only their names, for results are published."""
    return shlex.join(["python", "benchmarks/vs_peers.py", *(results.without_folder(word) for word in arguments)])


def _models(names: list[str]) -> list[str]:
    return torchvision_models.names() if names == ["all"] else names


def _keep(entry: Entry, options: argparse.Namespace) -> None:
    path = options.output or (None if options.quick else RESULTS / results.file_name("cpu", entry))
    if path:
        results.write(path, entry)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
