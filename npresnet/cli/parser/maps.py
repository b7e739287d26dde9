"""Arguments of the commands that look inside: embed, cam."""

from __future__ import annotations

from npresnet.cli.parser.shared import Commands, add_command, at_least, model_arguments


def embed(commands: Commands) -> None:
    command = add_command(commands, "embed", "maps:embed", "print the pooled features of images, before the classifier")
    command.add_argument("images", nargs="+", metavar="IMG|DIR|GLOB|-")
    command.add_argument("-o", "--output", metavar="OUT.npy", help="write an array (N, D) instead of JSON to stdout")
    model_arguments(command)


def cam(commands: Commands) -> None:
    command = add_command(commands, "cam", "maps:cam", "show which part of an image supports a class")
    command.add_argument("image", metavar="IMG")
    command.add_argument("-o", "--output", required=True, metavar="OUT.png", help="the image to write")
    command.add_argument("--index", type=at_least(0), metavar="CLASS", help="index of the class (the best one)")
    model_arguments(command)
