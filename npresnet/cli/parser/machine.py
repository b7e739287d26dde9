"""Arguments of the commands on this machine: prepare, cache, doctor, demo."""

from __future__ import annotations

import argparse

from npresnet.cli.parser.shared import (
    Commands,
    add_command,
    at_least,
    decision_arguments,
    how_arguments,
    input_size_argument,
)


def prepare(commands: Commands) -> None:
    command = add_command(commands, "prepare", "cache:prepare", "store a file's weights as this CPU reads them")
    command.add_argument("model", metavar="NAME|FILE", help="a weight file, or a name to download")
    command.add_argument("--batch-size", type=at_least(1), default=1, metavar="N", help="images in a call (1)")
    input_size_argument(command, "those of the model")
    how_arguments(command)
    decision_arguments(command)


def cache(commands: Commands) -> None:
    command = add_command(commands, "cache", "cache:cache", "show what npresnet keeps, or delete the prepared weights")
    command.add_argument("action", choices=["info", "clear"], help="show all files, or delete the prepared weights")


def doctor(commands: Commands) -> None:
    add_command(
        commands, "doctor", "machine:doctor", "show properties of this machine that affect npresnet, with advice"
    )


def demo(commands: Commands) -> None:
    command = add_command(commands, "demo", "machine:demo", "classify the included photo, and show next steps")
    command.add_argument("--threads", type=at_least(1), metavar="T", help=argparse.SUPPRESS)
