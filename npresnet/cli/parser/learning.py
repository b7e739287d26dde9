"""Arguments of the commands for learning: explain, ladder, trace, exercise, diff."""

from __future__ import annotations

import argparse

from npresnet.cli.parser.shared import Commands, add_command, at_least, model_arguments

EXERCISE_FOLDER = "npresnet-exercises"


def explain(commands: Commands) -> None:
    command = add_command(commands, "explain", "pages:explain", "explain one number of a feature map, on a page")
    command.add_argument("image", metavar="IMG")
    command.add_argument("--layer", metavar="L", help="a convolution, such as layer1.0.conv1 (the first one)")
    command.add_argument(
        "--at", type=_position, metavar="ROW,COL", help="pixel of its output (that of the strongest response)"
    )
    command.add_argument(
        "--channel", type=int, metavar="K", help="index of its filter (that of the strongest response)"
    )
    command.add_argument("-o", "--output", required=True, metavar="PAGE.html", help="the page to write (-: stdout)")
    model_arguments(command)


def ladder(commands: Commands) -> None:
    command = add_command(
        commands, "ladder", "teach:ladder", "compute one layer in increasingly fast ways, each proved equal"
    )
    command.add_argument("--layer", metavar="L", help="a convolution, such as layer1.0.conv1 (the slowest)")
    command.add_argument("--image", metavar="IMG", help="the input photo (an included one)")
    command.add_argument("--html", metavar="OUT.html", help="write a page as well")
    command.add_argument("--json", action="store_true", help="print JSON instead of the table")
    model_arguments(command)


def trace(commands: Commands) -> None:
    command = add_command(commands, "trace", "pages:trace", "show every step with its feature maps, on a page")
    command.add_argument("image", metavar="IMG")
    command.add_argument("-o", "--output", required=True, metavar="PAGE.html", help="the page to write (-: stdout)")
    model_arguments(command)


def exercise(commands: Commands) -> None:
    command = add_command(
        commands, "exercise", "teach:exercise", "functions of npresnet with a few lines removed, for learning"
    )
    command.add_argument("action", choices=["start", "check"], help="write the files, or check them")
    command.add_argument("names", nargs="*", metavar="NAME", help="check only these, such as im2col (all)")
    command.add_argument("--folder", default=EXERCISE_FOLDER, metavar="DIR", help=f"their folder ({EXERCISE_FOLDER})")
    command.add_argument(
        "--limit", type=at_least(1), default=60, metavar="S", help="seconds that each may take before it is ended (60)"
    )


def diff(commands: Commands) -> None:
    command = add_command(commands, "diff", "teach:diff", "compare every step with PyTorch, which must be installed")
    command.add_argument("checkpoint", metavar="CHECKPOINT", help="a weight file or a name")
    command.add_argument("--image", required=True, metavar="IMG", help="the input of both")
    model_arguments(command, model=False)


def _position(text: str) -> tuple[int, int]:
    """ROW,COL."""
    row, comma, col = text.partition(",")
    try:
        return int(row), int(col)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a position; expected ROW,COL, such as 12,30") from None
