"""The argument parser: one function a command, in files of commands that belong together, in the order of the help.

shared      how a command is added, and what several have
suggesting  argparse with "did you mean"
"""

from __future__ import annotations

import argparse

from npresnet.cli.parser import bench, evaluate, files, inside, learning, machine, predict, serve
from npresnet.cli.parser.suggesting import Parser

EXAMPLES = """examples:
  npresnet demo                                     the included model on the included photo; works offline
  npresnet predict dog.jpg --model resnet18         downloads the weights once, then works offline
  npresnet predict photos/ --model my.pth --top 5   every image of a folder, with your own weights
  npresnet predict photos/ --json > labels.json     stdout carries only data
  npresnet convert my.pth my.npz --labels names.txt
  npresnet serve --model my.npz                     HTTP: a page, POST /predict, the Open Inference Protocol
  npresnet eval photos/ --model my.npz              accuracy on a folder with a folder a class
  npresnet bench resnet50 --batches 1 8             compared with PyTorch, ONNX Runtime, OpenVINO if installed
  npresnet bench resnet50 --layers                  time of each layer
  npresnet explain dog.jpg -o page.html             where one number of a feature map comes from
  npresnet exercise start                           learn by implementing parts of npresnet
  npresnet doctor                                   properties of this machine, with advice

See npresnet COMMAND --help for details."""

COMMANDS = (
    predict.predict,
    evaluate.evaluate,
    files.convert,
    machine.prepare,
    files.inspect,
    files.summary,
    inside.embed,
    inside.cam,
    serve.serve,
    bench.bench,
    learning.explain,
    learning.ladder,
    learning.trace,
    learning.exercise,
    learning.diff,
    machine.doctor,
    machine.cache,
    machine.demo,
)


def make_parser() -> argparse.ArgumentParser:
    """The parser of `npresnet`."""
    from npresnet import __version__

    parser = Parser(
        prog="npresnet",
        description="ResNet inference with NumPy: image classification, class activation maps, embeddings.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"npresnet {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    for add in COMMANDS:
        add(commands)
    return parser
