"""Arguments of `serve`."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from npresnet.cli.parser.shared import Commands, add_command, at_least, model_arguments


def serve(commands: Commands) -> None:
    command = add_command(
        commands, "serve", "serve:serve", "answer requests over HTTP, and show a page to try the model"
    )
    command.add_argument("--host", default="127.0.0.1", metavar="H", help="address (127.0.0.1; 0.0.0.0: all networks)")
    command.add_argument("--port", type=_port, default=8000, metavar="P", help="port (8000); 0 takes a free one")
    command.add_argument("--name", metavar="NAME", help="the model's name in addresses (that of its file)")
    batches = command.add_argument_group("batches")
    batches.add_argument(
        "--batch-wait-ms", type=_number(0), default=2.0, metavar="MS", help="how long an image waits for others (2)"
    )
    batches.add_argument("--max-batch", type=at_least(1), default=32, metavar="N", help="images computed together (32)")
    limits = command.add_argument_group("limits")
    limits.add_argument(
        "--max-body-mb", type=_number(0.001), default=32.0, metavar="MB", help="size of a request, in MiB (32)"
    )
    limits.add_argument("--max-images", type=at_least(1), default=64, metavar="N", help="images of a request (64)")
    limits.add_argument(
        "--max-queue", type=at_least(1), default=256, metavar="N", help="images waiting at once; beyond that 503 (256)"
    )
    limits.add_argument(
        "--max-connections", type=at_least(1), default=512, metavar="N", help="open connections; beyond that 503 (512)"
    )
    limits.add_argument(
        "--body-timeout-s", type=_number(0.001), default=30.0, metavar="S", help="time to send a request's body (30)"
    )
    limits.add_argument(
        "--drain-s", type=_number(0), default=30.0, metavar="S", help="time for requests in progress at the end (30)"
    )
    model_arguments(command)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port: expected 0 to 65535")
    return port


def _number(least: float) -> Callable[[str], float]:
    """A parser of finite numbers >= `least`."""

    def number(text: str) -> float:
        value = float(text)
        if not least <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not a finite number of at least {least:g}")
        return value

    return number


_port.__name__ = "port"  # for argparse's "invalid ... value"
