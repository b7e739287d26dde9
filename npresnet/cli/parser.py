"""The argument parser: all commands, their arguments and help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import Any

from npresnet.bench import arguments

EXAMPLES = """examples:
  npresnet demo                                     the included model on the included photo; works offline
  npresnet predict dog.jpg --model resnet18         downloads the weights once, then works offline
  npresnet predict photos/ --model my.pth --top 5   every image of a folder, with your own weights
  npresnet predict photos/ --json > labels.json     stdout carries only data
  npresnet convert my.pth my.npz --labels names.txt
  npresnet bench resnet50 --batches 1 8             compared with PyTorch, ONNX Runtime, OpenVINO if installed
  npresnet bench resnet50 --layers                  time of each layer
  npresnet explain dog.jpg -o page.html             where one number of a feature map comes from
  npresnet exercise start                           learn by implementing parts of npresnet
  npresnet doctor                                   properties of this machine, with advice

See npresnet COMMAND --help for details."""

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
    for add in (
        _predict,
        _convert,
        _prepare,
        _inspect,
        _summary,
        _embed,
        _cam,
        _bench,
        *learning,
        _doctor,
        _cache,
        _demo,
    ):
        add(commands)
    return parser


def _predict(commands: Commands) -> None:
    command = _command(commands, "predict", "predict:predict", "classify images")
    command.add_argument(
        "images",
        nargs="+",
        metavar="IMG|DIR|GLOB|-",
        help="image files, folders (their image files), patterns such as 'photos/*.jpg'; - reads one path per line "
        "from stdin; write ./-name for a name that begins with -",
    )
    command.add_argument("--top", type=_from(1), metavar="K", help="list the K best classes (text: 1, JSON: 5)")
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="an array of {path, index, label, score, top}")
    form.add_argument("--jsonl", action="store_true", help="the same records, one per line")
    form.add_argument("--csv", action="store_true", help="the columns path, index, label, score")
    command.add_argument("--grid", metavar="OUT.png", help="draw the images with their labels, 4 x 4 per page")
    command.add_argument("--batch-size", type=_from(1), default=32, metavar="N", help="images read together (32)")
    _model_arguments(command)


def _convert(commands: Commands) -> None:
    command = _command(commands, "convert", "files:convert", "write any weight file as .npz, with all settings")
    command.add_argument("source", metavar="SRC", help="a weight file (.pth .pt .th .pkl .safetensors .npz) or a name")
    command.add_argument("destination", metavar="DST.npz")
    _decision_arguments(command)


def _prepare(commands: Commands) -> None:
    command = _command(commands, "prepare", "cache:prepare", "store a file's weights as this CPU reads them")
    command.add_argument("model", metavar="NAME|FILE", help="a weight file, or a name to download")
    command.add_argument("--batch-size", type=_from(1), default=1, metavar="N", help="images in a call (1)")
    _input_size_argument(command, "those of the model")
    _how_arguments(command)
    _decision_arguments(command)


def _cache(commands: Commands) -> None:
    command = _command(commands, "cache", "cache:cache", "show what npresnet keeps, or delete the prepared weights")
    command.add_argument("action", choices=["info", "clear"], help="show all files, or delete the prepared weights")


def _inspect(commands: Commands) -> None:
    command = _command(commands, "inspect", "files:inspect", "list the contents of any weight file")
    command.add_argument("file", metavar="FILE", help="a weight file, or a folder with model.safetensors")
    command.add_argument("--verify", action="store_true", help="read all of it, and verify every checksum")
    _decision_arguments(command)


def _summary(commands: Commands) -> None:
    command = _command(commands, "summary", "files:summary", "print torchsummary's table of layers")
    command.add_argument("network", metavar="NAME|FILE", help="an architecture such as resnet50, or a weight file")
    command.add_argument("--batch-size", type=_from(1), default=-1, metavar="N", help="images per batch (-1, any)")
    _input_size_argument(command, "usually 3 224 224")
    _key_argument(command)
    _option_argument(command)


def _embed(commands: Commands) -> None:
    command = _command(commands, "embed", "maps:embed", "print the pooled features of images, before the classifier")
    command.add_argument("images", nargs="+", metavar="IMG|DIR|GLOB|-")
    command.add_argument("-o", "--output", metavar="OUT.npy", help="write an array (N, D) instead of JSON to stdout")
    _model_arguments(command)


def _cam(commands: Commands) -> None:
    command = _command(commands, "cam", "maps:cam", "show which part of an image supports a class")
    command.add_argument("image", metavar="IMG")
    command.add_argument("-o", "--output", required=True, metavar="OUT.png", help="the image to write")
    command.add_argument("--index", type=_from(0), metavar="CLASS", help="index of the class (the best one)")
    _model_arguments(command)


def _bench(commands: Commands) -> None:
    command = _command(
        commands, "bench", "bench:bench", "compare npresnet's speed with other engines, or measure each layer"
    )
    command.add_argument(
        "models",
        nargs="*",
        default=["resnet18"],
        metavar="MODEL",
        help="names (random weights, nothing is downloaded) or weight files (resnet18)",
    )
    what = command.add_mutually_exclusive_group()
    what.add_argument("--layers", action="store_true", help="only npresnet, every step, on one thread or a GPU")
    what.add_argument("--tune", action="store_true", help="choose each layer's algorithm by measuring, and save it")
    command.add_argument("--fast", action="store_true", help="compare fast=True with the default; --layers: only that")
    command.add_argument(
        "--device", default="cpu", metavar="D", help="with --layers, --tune: cpu, cuda or cuda:1 (cpu)"
    )
    command.add_argument(
        "--dtype", default="float32", metavar="T", help="with --layers, --tune on a GPU, as for predict (float32)"
    )
    command.add_argument(
        "--json", nargs="?", const="-", metavar="FILE|-", help="save the figures as JSON; - prints only them"
    )
    arguments.add_cases(command)
    arguments.add_engines(command)
    arguments.add_pace(command)


def _explain(commands: Commands) -> None:
    command = _command(commands, "explain", "pages:explain", "explain one number of a feature map, on a page")
    command.add_argument("image", metavar="IMG")
    command.add_argument("--layer", metavar="L", help="a convolution, such as layer1.0.conv1 (the first one)")
    command.add_argument(
        "--at", type=_position, metavar="ROW,COL", help="pixel of its output (that of the strongest response)"
    )
    command.add_argument(
        "--channel", type=int, metavar="K", help="index of its filter (that of the strongest response)"
    )
    command.add_argument("-o", "--output", required=True, metavar="PAGE.html", help="the page to write")
    _model_arguments(command)


def _trace(commands: Commands) -> None:
    command = _command(commands, "trace", "pages:trace", "show every step with its feature maps, on a page")
    command.add_argument("image", metavar="IMG")
    command.add_argument("-o", "--output", required=True, metavar="PAGE.html", help="the page to write")
    _model_arguments(command)


def _ladder(commands: Commands) -> None:
    command = _command(
        commands, "ladder", "teach:ladder", "compute one layer in increasingly fast ways, each proved equal"
    )
    command.add_argument("--layer", metavar="L", help="a convolution, such as layer1.0.conv1 (the slowest)")
    command.add_argument("--image", metavar="IMG", help="the input photo (an included one)")
    command.add_argument("--html", metavar="OUT.html", help="write a page as well")
    command.add_argument("--json", action="store_true", help="print JSON instead of the table")
    _model_arguments(command)


def _exercise(commands: Commands) -> None:
    command = _command(
        commands, "exercise", "teach:exercise", "functions of npresnet with a few lines removed, for learning"
    )
    command.add_argument("action", choices=["start", "check"], help="write the files, or check them")
    command.add_argument("names", nargs="*", metavar="NAME", help="check only these, such as im2col (all)")
    command.add_argument("--folder", default=EXERCISE_FOLDER, metavar="DIR", help=f"their folder ({EXERCISE_FOLDER})")


def _diff(commands: Commands) -> None:
    command = _command(commands, "diff", "teach:diff", "compare every step with PyTorch, which must be installed")
    command.add_argument("checkpoint", metavar="CHECKPOINT", help="a weight file or a name")
    command.add_argument("--image", required=True, metavar="IMG", help="the input of both")
    _model_arguments(command, model=False)


def _doctor(commands: Commands) -> None:
    _command(commands, "doctor", "machine:doctor", "show properties of this machine that affect npresnet, with advice")


def _demo(commands: Commands) -> None:
    command = _command(commands, "demo", "machine:demo", "classify the included photo, and show next steps")
    command.add_argument("--threads", type=_from(1), metavar="T", help=argparse.SUPPRESS)


def _command(commands: Commands, name: str, home: str, what: str) -> argparse.ArgumentParser:
    """Add a subcommand; `home` is module:function, imported when it runs, so that startup is fast."""
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
    _how_arguments(group)
    group.add_argument(
        "--max-pixels",
        type=_from(1),
        metavar="N",
        help="pixels a picture may have: refuses larger files, or allows more than the usual limits (89 million)",
    )
    group.add_argument("--exif", action="store_true", help="apply the EXIF orientation of photos")
    _decision_arguments(group)


def _how_arguments(command: Any) -> None:
    command.add_argument("--threads", type=_from(1), metavar="T", help="threads (the CPUs this process may use)")
    command.add_argument("--fast", action="store_true", help="let an image's last bits depend on its batch")
    command.add_argument("--no-winograd", action="store_true", help="compute 3x3 convolutions as direct sums")


def _input_size_argument(command: Any, default: str) -> None:
    sizes = ("C", "H", "W")
    command.add_argument("--input-size", type=_from(1), nargs=3, metavar=sizes, help=f"shape of an image ({default})")


def _decision_arguments(command: Any) -> None:
    command.add_argument("--labels", metavar="L", help="names of the classes: a text or JSON file, imagenet, cifar10")
    command.add_argument("--preprocess", metavar="P", help="V1, V2, cifar10, or JSON such as '{\"resize\": 232}'")
    command.add_argument("--arch", metavar="A", help="the expected architecture, such as resnet50")
    _key_argument(command)
    _option_argument(command)


def _key_argument(command: Any) -> None:
    command.add_argument(
        "--key",
        metavar="K",
        help="which state dict of a file with several, such as teacher, state_dict_ema, state.model",
    )


def _option_argument(command: Any) -> None:
    command.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="settings that weights do not determine, such as stride_on=3x3 or max_pool=[3,2,0,true]; may be repeated",
    )


def _position(text: str) -> tuple[int, int]:
    """ROW,COL."""
    row, comma, col = text.partition(",")
    try:
        return int(row), int(col)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a position; expected ROW,COL, such as 12,30") from None


def _from(least: int) -> Number:
    """A parser of integers >= `least`."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return value

    number.__name__ = "integer"  # for argparse's "invalid ... value"
    return number
