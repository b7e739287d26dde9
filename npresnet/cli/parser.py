"""What may be typed: every command, its arguments and its help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import Any

from npresnet.bench import arguments

EXAMPLES = """examples:
  npresnet demo                                     the model and the photo that come along; no network needed
  npresnet predict dog.jpg --model resnet18         downloads the weights once, then works offline
  npresnet predict photos/ --model my.pth --top 5   every image of a folder, with your own weights
  npresnet predict photos/ --json > labels.json     the data alone goes to stdout
  npresnet convert my.pth my.npz --labels names.txt
  npresnet bench resnet50 --batches 1 8             beside PyTorch, ONNX Runtime, OpenVINO: what is installed
  npresnet bench resnet50 --layers                  where the time goes
  npresnet explain dog.jpg -o page.html             where one number of a feature map comes from
  npresnet exercise start                           learn how it is done, by doing it
  npresnet doctor                                   what this machine has, and what would make it faster

npresnet COMMAND --help tells more."""

EXERCISE_FOLDER = "npresnet-exercises"
Commands = Any  # argparse's subparsers have no public type
Number = Callable[[str], int]


def make_parser() -> argparse.ArgumentParser:
    """The parser of `npresnet`."""
    from npresnet import __version__

    parser = argparse.ArgumentParser(
        prog="npresnet",
        description="ResNet inference with NumPy: image classification, class activation maps, embeddings.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"npresnet {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    learning = (_explain, _ladder, _trace, _exercise, _diff)
    for add in (_predict, _convert, _inspect, _summary, _embed, _cam, _bench, *learning, _doctor, _demo):
        add(commands)
    return parser


def _predict(commands: Commands) -> None:
    command = _command(commands, "predict", "predict:predict", "say what images show")
    command.add_argument(
        "images",
        nargs="+",
        metavar="IMG|DIR|GLOB|-",
        help="image files, folders (their image files), patterns such as 'photos/*.jpg'; - reads one path a line; "
        "a name that begins with - is given as ./-name",
    )
    command.add_argument("--top", type=_from(1), metavar="K", help="list the K best classes (text: 1, JSON: 5)")
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="an array of {path, index, label, score, top}")
    form.add_argument("--jsonl", action="store_true", help="the same records, one a line")
    form.add_argument("--csv", action="store_true", help="the columns path, index, label, score")
    command.add_argument("--grid", metavar="OUT.png", help="draw the pictures with their labels, 4 by 4 a page")
    command.add_argument("--batch-size", type=_from(1), default=32, metavar="N", help="images read together (32)")
    _model_arguments(command)


def _convert(commands: Commands) -> None:
    command = _command(commands, "convert", "files:convert", "write any weight file as .npz, with all that was decided")
    command.add_argument("source", metavar="SRC", help="a weight file (.pth .pt .th .pkl .safetensors .npz) or a name")
    command.add_argument("destination", metavar="DST.npz")
    _decision_arguments(command)


def _inspect(commands: Commands) -> None:
    command = _command(commands, "inspect", "files:inspect", "list what is in a weight file, whatever net it is of")
    command.add_argument("file", metavar="FILE")


def _summary(commands: Commands) -> None:
    command = _command(commands, "summary", "files:summary", "print the table of layers, as torchsummary does")
    command.add_argument("network", metavar="NAME|FILE", help="an architecture such as resnet50, or a weight file")
    command.add_argument("--batch-size", type=_from(1), default=-1, metavar="N", help="images a batch (any: -1)")
    command.add_argument(
        "--input-size", type=_from(1), nargs=3, metavar=("C", "H", "W"), help="shape of an image (usually 3 224 224)"
    )
    _option_argument(command)


def _embed(commands: Commands) -> None:
    command = _command(commands, "embed", "maps:embed", "print the pooled features of images, before the classifier")
    command.add_argument("images", nargs="+", metavar="IMG|DIR|GLOB|-")
    command.add_argument("-o", "--output", metavar="OUT.npy", help="write an array (N, D) instead of JSON to stdout")
    _model_arguments(command)


def _cam(commands: Commands) -> None:
    command = _command(commands, "cam", "maps:cam", "show where in an image the network sees a class")
    command.add_argument("image", metavar="IMG")
    command.add_argument("-o", "--output", required=True, metavar="OUT.png", help="the picture to write")
    command.add_argument("--index", type=_from(0), metavar="CLASS", help="which class (the best one)")
    _model_arguments(command)


def _bench(commands: Commands) -> None:
    command = _command(commands, "bench", "bench:bench", "measure npresnet beside other engines, or layer by layer")
    command.add_argument(
        "models",
        nargs="*",
        default=["resnet18"],
        metavar="MODEL",
        help="names (random weights, nothing is downloaded) or weight files (resnet18)",
    )
    what = command.add_mutually_exclusive_group()
    what.add_argument("--layers", action="store_true", help="npresnet alone, every step, on one thread or a GPU")
    what.add_argument("--tune", action="store_true", help="choose each layer's algorithm by measuring, and keep that")
    command.add_argument("--fast", action="store_true", help="race fast=True beside the default; with --layers instead")
    command.add_argument(
        "--device", default="cpu", metavar="D", help="with --layers, --tune: cpu, cuda or cuda:1 (cpu)"
    )
    command.add_argument(
        "--dtype", default="float32", metavar="T", help="with --layers, --tune on a GPU, as for predict (float32)"
    )
    command.add_argument(
        "--json", nargs="?", const="-", metavar="FILE|-", help="keep the figures as JSON; - prints that alone"
    )
    arguments.add_cases(command)
    arguments.add_engines(command)
    arguments.add_pace(command)


def _explain(commands: Commands) -> None:
    command = _command(commands, "explain", "pages:explain", "follow one number of a feature map, on a page to read")
    command.add_argument("image", metavar="IMG")
    command.add_argument("--layer", metavar="L", help="a convolution, such as layer1.0.conv1 (the first one)")
    command.add_argument(
        "--at", type=_place, metavar="ROW,COL", help="which pixel of its output (that of the strongest response)"
    )
    command.add_argument("--channel", type=int, metavar="K", help="which of its filters (that of the same)")
    command.add_argument("-o", "--output", required=True, metavar="PAGE.html", help="the page to write")
    _model_arguments(command)


def _trace(commands: Commands) -> None:
    command = _command(commands, "trace", "pages:trace", "show every step with its feature maps, on a page to read")
    command.add_argument("image", metavar="IMG")
    command.add_argument("-o", "--output", required=True, metavar="PAGE.html", help="the page to write")
    _model_arguments(command)


def _ladder(commands: Commands) -> None:
    command = _command(commands, "ladder", "teach:ladder", "compute one layer in ever faster ways, each proved equal")
    command.add_argument("--layer", metavar="L", help="a convolution, such as layer1.0.conv1 (the costliest)")
    command.add_argument("--image", metavar="IMG", help="the photo whose numbers it gets (one that comes along)")
    command.add_argument("--html", metavar="OUT.html", help="write a page as well")
    command.add_argument("--json", action="store_true", help="print JSON instead of the table")
    _model_arguments(command)


def _exercise(commands: Commands) -> None:
    command = _command(
        commands, "exercise", "teach:exercise", "functions of npresnet with a few lines taken out, to learn"
    )
    command.add_argument("action", choices=["start", "check"], help="write the files, or check them")
    command.add_argument("names", nargs="*", metavar="NAME", help="check these alone, such as im2col (all)")
    command.add_argument("--folder", default=EXERCISE_FOLDER, metavar="DIR", help=f"where they are ({EXERCISE_FOLDER})")


def _diff(commands: Commands) -> None:
    command = _command(commands, "diff", "teach:diff", "compare every step with PyTorch, which must be installed")
    command.add_argument("checkpoint", metavar="CHECKPOINT", help="a weight file or a name")
    command.add_argument("--image", required=True, metavar="IMG", help="what both look at")
    _model_arguments(command, model=False)


def _doctor(commands: Commands) -> None:
    _command(commands, "doctor", "machine:doctor", "what this machine has, and what would make npresnet faster here")


def _demo(commands: Commands) -> None:
    command = _command(commands, "demo", "machine:demo", "predict the photo that comes along, and show what is next")
    command.add_argument("--threads", type=_from(1), metavar="T", help=argparse.SUPPRESS)


def _command(commands: Commands, name: str, home: str, what: str) -> argparse.ArgumentParser:
    """A subcommand; `home` is module:function, imported when it runs, so that --help and one-off calls start fast."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
    module, function = home.split(":")

    def run(args: argparse.Namespace) -> int:
        code: int = getattr(import_module(f"npresnet.cli.{module}"), function)(args)
        return code

    command.set_defaults(run=run)
    return command


def _model_arguments(command: argparse.ArgumentParser, *, model: bool = True) -> None:
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
    group.add_argument("--threads", type=_from(1), metavar="T", help="threads (the CPUs this process may use)")
    group.add_argument("--fast", action="store_true", help="let an image's last bits depend on the batch it is in")
    group.add_argument("--no-winograd", action="store_true", help="compute 3x3 convolutions by the direct sum")
    group.add_argument("--exif", action="store_true", help="turn photos as their EXIF orientation says")
    _decision_arguments(group)


def _decision_arguments(command: Any) -> None:
    command.add_argument("--labels", metavar="L", help="names of the classes: a text or JSON file, imagenet, cifar10")
    command.add_argument("--preprocess", metavar="P", help="V1, V2, cifar10, or JSON such as '{\"resize\": 232}'")
    command.add_argument("--arch", metavar="A", help="the architecture you expect, such as resnet50")
    _option_argument(command)


def _option_argument(command: Any) -> None:
    command.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what weights cannot tell, such as stride_on=3x3; may be given several times",
    )


def _place(text: str) -> tuple[int, int]:
    """ROW,COL."""
    row, comma, col = text.partition(",")
    try:
        return int(row), int(col)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no place; write it as ROW,COL, such as 12,30") from None


def _from(least: int) -> Number:
    """Whole numbers from `least` on."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return value

    number.__name__ = "whole number"  # for argparse's "invalid ... value"
    return number
