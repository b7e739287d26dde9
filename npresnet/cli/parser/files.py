"""Arguments of the commands on weight files: convert, inspect, summary."""

from __future__ import annotations

from npresnet.cli.parser.shared import (
    Commands,
    add_command,
    at_least,
    decision_arguments,
    input_size_argument,
    key_argument,
    option_argument,
)


def convert(commands: Commands) -> None:
    command = add_command(commands, "convert", "files:convert", "write any weight file as .npz, with all settings")
    command.add_argument("source", metavar="SRC", help="a weight file (.pth .pt .th .pkl .safetensors .npz) or a name")
    command.add_argument("destination", metavar="DST.npz")
    decision_arguments(command)


def inspect(commands: Commands) -> None:
    command = add_command(commands, "inspect", "files:inspect", "list the contents of any weight file")
    command.add_argument("file", metavar="FILE", help="a weight file, or a folder with model.safetensors")
    command.add_argument("--verify", action="store_true", help="read all of it, and verify every checksum")
    decision_arguments(command)


def summary(commands: Commands) -> None:
    command = add_command(commands, "summary", "files:summary", "print torchsummary's table of layers")
    command.add_argument("network", metavar="NAME|FILE", help="an architecture such as resnet50, or a weight file")
    command.add_argument("--batch-size", type=at_least(1), default=-1, metavar="N", help="images per batch (-1, any)")
    input_size_argument(command, "usually 3 224 224")
    key_argument(command)
    option_argument(command)
