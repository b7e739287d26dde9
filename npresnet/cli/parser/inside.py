"""Arguments of the commands that look inside: embed, cam."""

from __future__ import annotations

from npresnet.cli.parser.shared import Commands, add_command, at_least, model_arguments, recursive_argument

IMAGES = "image files, folders (their image files), patterns; - reads paths, or the bytes of an image, from stdin"


def embed(commands: Commands) -> None:
    command = add_command(
        commands, "embed", "embed:embed", "print the pooled features of images, before the classifier"
    )
    command.add_argument("images", nargs="+", metavar="IMG|DIR|GLOB|-", help=IMAGES)
    recursive_argument(command)
    command.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="write a file instead of JSON to stdout; its suffix says how: .npy (N, D), .npz (with paths), .json, "
        ".jsonl, .csv, .parquet",
    )
    command.add_argument("--batch-size", type=at_least(1), default=32, metavar="N", help="images read together (32)")
    model_arguments(command)


def cam(commands: Commands) -> None:
    command = add_command(commands, "cam", "cam:cam", "show which part of an image supports a class")
    command.add_argument("images", nargs="+", metavar="IMG|DIR|GLOB|-", help=IMAGES)
    recursive_argument(command)
    command.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="the image to write; of several images a folder, or a pattern such as 'maps/{name}-cam.png'",
    )
    command.add_argument("--index", metavar="CLASS", help="a class, by its index or its label (the best one)")
    model_arguments(command)
