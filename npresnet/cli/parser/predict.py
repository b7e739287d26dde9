"""Arguments of `predict`."""

from __future__ import annotations

from npresnet.cli.parser.shared import Commands, add_command, at_least, model_arguments, recursive_argument


def predict(commands: Commands) -> None:
    command = add_command(commands, "predict", "predict:predict", "classify images")
    command.add_argument(
        "images",
        nargs="+",
        metavar="IMG|DIR|GLOB|-",
        help="image files, folders (their image files), patterns such as 'photos/*.jpg'; - reads paths, one per line, "
        "or the bytes of an image from stdin; write ./-name for a name that begins with -",
    )
    recursive_argument(command)
    command.add_argument("--top", type=at_least(1), metavar="K", help="list the K best classes (text: 1, JSON: 5)")
    command.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="write the records to this file instead; its suffix says how: .json, .jsonl, .csv, .parquet",
    )
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="an array of {path, index, label, score, top}")
    form.add_argument("--jsonl", action="store_true", help="the same records, one per line")
    form.add_argument("--csv", action="store_true", help="the columns path, index, label, score; --top K adds more")
    command.add_argument("--grid", metavar="OUT.png", help="draw the images with their labels, 4 x 4 per page")
    command.add_argument("--batch-size", type=at_least(1), default=32, metavar="N", help="images read together (32)")
    model_arguments(command)
