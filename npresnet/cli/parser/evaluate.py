"""Arguments of `eval`."""

from __future__ import annotations

from npresnet.cli.parser.shared import Commands, add_command, at_least, model_arguments


def evaluate(commands: Commands) -> None:
    command = add_command(commands, "eval", "evaluate:evaluate", "how often a model is right on labelled images")
    command.add_argument(
        "samples", metavar="FOLDER|CSV", help="a folder with a folder a class, or a CSV of path,label (relative to it)"
    )
    command.add_argument(
        "--classes",
        metavar="HOW",
        help="which folder is which class: names (the model's labels), sorted (torchvision's order), index (numbers), "
        "or a JSON or CSV file of name and label (names, or what is clear)",
    )
    command.add_argument("--confusion", metavar="OUT", help="write the confusion matrix as a picture (.png) or as .csv")
    command.add_argument("--json", action="store_true", help="an object of top1, top5, images, errors, per_class")
    command.add_argument("--batch-size", type=at_least(1), default=32, metavar="N", help="images read together (32)")
    model_arguments(command)
