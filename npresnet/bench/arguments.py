"""Command-line arguments of `npresnet bench` and of the scripts in benchmarks/, and the Settings made of them.

The parser is created whenever `npresnet` starts, so heavy imports are deferred.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from npresnet.bench.engines import ENGINES
from npresnet.bench.isa import ISAS

if TYPE_CHECKING:
    from npresnet.bench.compare import Settings


def add_cases(parser: Any) -> None:
    """Arguments for the images' size and the batch sizes."""
    parser.add_argument(
        "--batches", "--batch", nargs="+", type=count, metavar="N", help="images a call (1 8; by layer: 1)"
    )
    parser.add_argument("--size", type=count, default=224, metavar="S", help="height and width of the images (224)")


def add_engines(parser: Any, *, engines: list[str] | None = None, threads: int | None = None) -> None:
    """Arguments for the engines; a default of None is filled in by the caller."""
    usual = "all" if engines else "npresnet and those of the others that are installed"
    parser.add_argument(
        "--engines",
        nargs="+",
        choices=list(ENGINES),
        default=engines,
        metavar="E",
        help=f"of {', '.join(ENGINES)}; {usual} by default",
    )
    parser.add_argument("--threads", type=count, default=threads, metavar="T", help="threads of each engine")
    parser.add_argument(
        "--onnx", choices=["auto", "torch", "npresnet"], default="auto", help="what writes the ONNX file"
    )


def add_pace(parser: Any) -> None:
    """Arguments for the duration and the instruction set."""
    parser.add_argument("--rounds", type=count, default=7, metavar="N", help="interleaved rounds (7)")
    parser.add_argument("--seconds", type=float, default=0.4, metavar="S", help="of calls an engine and round (0.4)")
    parser.add_argument("--isa", choices=ISAS, help="hold every engine to these instructions, and check that it obeys")
    parser.add_argument("--quick", action="store_true", help="one short round: to try it out, not to measure")


def settings_of(options: argparse.Namespace, threads: int) -> Settings:
    """The settings of a measurement."""
    from npresnet.bench.compare import Settings

    if options.quick:
        return Settings(threads, rounds=1, seconds=0.05, pause_s=0.05, isa=options.isa)
    return Settings(threads, options.rounds, options.seconds, isa=options.isa)


def count(text: str) -> int:
    """An integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value
