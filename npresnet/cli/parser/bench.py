"""Arguments of `bench`."""

from __future__ import annotations

from npresnet.bench import arguments
from npresnet.cli.parser.shared import Commands, add_command


def bench(commands: Commands) -> None:
    command = add_command(
        commands, "bench", "bench:bench", "compare npresnet's speed with other engines, or measure each layer"
    )
    command.add_argument(
        "models",
        nargs="*",
        default=["resnet18"],
        metavar="MODEL",
        help="names (random weights, nothing is downloaded), weight files or demo (resnet18)",
    )
    what = command.add_mutually_exclusive_group()
    what.add_argument("--layers", action="store_true", help="only npresnet, every step, on one thread or a GPU")
    what.add_argument("--tune", action="store_true", help="choose each layer's algorithm by measuring, and save it")
    command.add_argument("--fast", action="store_true", help="compare fast=True with the default; --layers: only that")
    command.add_argument(
        "--device", default="cpu", metavar="D", help="with --layers, --tune: cpu, cuda or cuda:1 (cpu)"
    )
    command.add_argument(
        "--dtype", default="float32", metavar="T", help="with --layers, --tune on a GPU, as for predict (float32)"
    )
    command.add_argument(
        "--json", nargs="?", const="-", metavar="FILE|-", help="save the figures as JSON; - prints only them"
    )
    arguments.add_cases(command)
    arguments.add_engines(command)
    arguments.add_pace(command)
