"""npresnet, PyTorch, ONNX Runtime and OpenVINO on this machine's CPU: parity first, then interleaved rounds.

    python benchmarks/vs_peers.py                                   resnet18 and resnet50 at batch 1 and 8
    python benchmarks/vs_peers.py --models all --batches 1 8        every classifier of torchvision
    python benchmarks/vs_peers.py --models all --resume             resume such a run after an interrupt
    python benchmarks/vs_peers.py --models resnet50d seresnet50     timm's names, beside timm's own modules
    python benchmarks/vs_peers.py --models r3d_18 --size 112        clips of 16 frames, beside torchvision's
    python benchmarks/vs_peers.py --isa avx2                        every engine as on a machine with AVX2 only

Float32, equal threads, each engine in its own process with every OPENBLAS_* variable unset. Engines that are not
installed are left out (`pip install 'npresnet[bench]'` installs them all). Close other programs first.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

if not __package__:  # run as a script: npresnet and benchmarks are those of this checkout
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.kit.script import command, default_path, default_text, models, read, say
from npresnet.bench import results
from npresnet.bench.arguments import add_cases, add_engines, add_pace, settings_of
from npresnet.bench.engines import ENGINES
from npresnet.bench.run import Entry, Race, has_failed, report_text, run


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50"], help="names, weight files, or: all")
    add_cases(parser)
    add_engines(parser, engines=list(ENGINES), threads=2)
    add_pace(parser)
    parser.add_argument(
        "--output",
        type=Path,
        help=f"{default_text('cpu')}, none with --quick",
    )
    parser.add_argument("--resume", action="store_true", help="keep the cases that the output file has already")
    parser.set_defaults(batches=[1, 8])
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run, print the tables, write the JSON. 1 where an installed engine has no time."""
    options = parse(arguments)
    race = Race(models(options.models), options.batches, options.engines, options.size, onnx=options.onnx)
    settings = settings_of(options, options.threads)
    earlier = _earlier(options) if options.resume else None
    keep = partial(_keep, options)
    entry = run(race, settings, command=command("vs_peers", arguments), say=say, keep=keep, earlier=earlier)
    print(report_text(entry))
    return int(has_failed(entry))


def _keep(options: argparse.Namespace, entry: Entry) -> None:
    path = _path(options, entry)
    if path:
        results.write(path, entry)


def _earlier(options: argparse.Namespace) -> Entry | None:
    path = _path(options, results.header("cpu", "", isa=options.isa))
    return read(path) if path else None


def _path(options: argparse.Namespace, entry: Entry) -> Path | None:
    return options.output or (None if options.quick else default_path("cpu", entry))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
