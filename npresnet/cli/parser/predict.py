"""Arguments of `predict`."""

from __future__ import annotations

from npresnet.cli.parser.shared import Commands, add_command, at_least, model_arguments


def predict(commands: Commands) -> None:
    command = add_command(commands, "predict", "predict:predict", "classify images")
    command.add_argument(
        "images",
        nargs="+",
        metavar="IMG|DIR|GLOB|-",
        help="image files, folders (their image files), patterns such as 'photos/*.jpg'; - reads one path per line "
        "from stdin; write ./-name for a name that begins with -",
    )
    command.add_argument("--top", type=at_least(1), metavar="K", help="list the K best classes (text: 1, JSON: 5)")
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="an array of {path, index, label, score, top}")
    form.add_argument("--jsonl", action="store_true", help="the same records, one per line")
    form.add_argument("--csv", action="store_true", help="the columns path, index, label, score")
    command.add_argument("--grid", metavar="OUT.png", help="draw the images with their labels, 4 x 4 per page")
    command.add_argument("--batch-size", type=at_least(1), default=32, metavar="N", help="images read together (32)")
    model_arguments(command)
