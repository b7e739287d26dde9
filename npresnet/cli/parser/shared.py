"""What several commands share: how a command is added, and arguments of the same meaning."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

Commands = Any  # argparse's subparsers have no public type
Number = Callable[[str], int]


def add_command(commands: Commands, name: str, home: str, what: str) -> argparse.ArgumentParser:
    """Add a subcommand; `home` is module:function, imported when it runs, so that startup is fast."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
    module, function = home.split(":")

    def run(args: argparse.Namespace) -> int:
        code: int = getattr(import_module(f"npresnet.cli.{module}"), function)(args)
        return code

    command.set_defaults(run=run)
    return command


def model_arguments(command: argparse.ArgumentParser, *, model: bool = True) -> None:
    group = command.add_argument_group("the model")
    if model:
        group.add_argument(
            "--model",
            metavar="M",
            help="a weight file, or a name to download, such as resnet18, resnet50.IMAGENET1K_V2 (the ten-class demo)",
        )
    group.add_argument("--device", default="cpu", metavar="D", help="cpu, cuda, cuda:1 or auto (cpu)")
    group.add_argument(
        "--dtype", default="float32", metavar="T", help="float32; on a GPU also tf32, float16, bfloat16 (float32)"
    )
    how_arguments(group)
    group.add_argument(
        "--max-pixels",
        type=at_least(1),
        metavar="N",
        help="pixels a picture may have: refuses larger files, or allows more than the usual limits (89 million)",
    )
    group.add_argument("--exif", action="store_true", help="apply the EXIF orientation of photos")
    group.add_argument(
        "--draft", action="store_true", help="scale JPEG photos while decoding: faster, not equal to torchvision"
    )
    decision_arguments(group)


def recursive_argument(command: Any) -> None:
    command.add_argument("--recursive", action="store_true", help="of folders, the images in all folders below, too")


def how_arguments(command: Any) -> None:
    command.add_argument("--threads", type=at_least(1), metavar="T", help="threads (the CPUs this process may use)")
    command.add_argument("--fast", action="store_true", help="let an image's last bits depend on its batch")
    command.add_argument("--no-winograd", action="store_true", help="compute 3x3 convolutions as direct sums")


def input_size_argument(command: Any, default: str) -> None:
    sizes = ("C", "H", "W")
    command.add_argument(
        "--input-size", type=at_least(1), nargs=3, metavar=sizes, help=f"shape of an image ({default})"
    )


def decision_arguments(command: Any) -> None:
    command.add_argument("--labels", metavar="L", help="names of the classes: a text or JSON file, imagenet, cifar10")
    command.add_argument("--preprocess", metavar="P", help="V1, V2, cifar10, or JSON such as '{\"resize\": 232}'")
    command.add_argument("--arch", metavar="A", help="the expected architecture, such as resnet50")
    key_argument(command)
    option_argument(command)


def key_argument(command: Any) -> None:
    command.add_argument(
        "--key",
        metavar="K",
        help="which state dict of a file with several, such as teacher, state_dict_ema, state.model",
    )


def option_argument(command: Any) -> None:
    command.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="settings that weights do not determine, such as stride_on=3x3 or max_pool=[3,2,0,true]; may be repeated",
    )


def at_least(least: int) -> Number:
    """A parser of integers >= `least` that are sizes to Python."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        if value > sys.maxsize:
            raise argparse.ArgumentTypeError(f"{text[:40]} is more than {sys.maxsize}")
        return value

    number.__name__ = "integer"  # for argparse's "invalid ... value"
    return number
