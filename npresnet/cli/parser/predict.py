"""Arguments of `predict`."""

from __future__ import annotations

from typing import Any

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
        help="write the records to this file instead; its suffix says how: .json, .jsonl, .csv, .parquet; with --ray "
        "a Parquet file, or a folder of its parts; a path, or an address",
    )
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="an array of {path, index, label, score, top}")
    form.add_argument("--jsonl", action="store_true", help="the same records, one per line")
    form.add_argument("--csv", action="store_true", help="the columns path, index, label, score; --top K adds more")
    command.add_argument("--grid", metavar="OUT.png", help="draw the images with their labels, 4 x 4 per page")
    cluster_arguments(command)
    command.add_argument("--batch-size", type=at_least(1), default=32, metavar="N", help="images read together (32)")
    model_arguments(command)


def cluster_arguments(command: Any) -> None:
    group = command.add_argument_group("on a Ray cluster (pip install 'npresnet[ray]')")
    group.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="classify on the cluster at host:port; without ADDRESS on one that runs here, else on one started for it. "
        "Images may be addresses: s3://bucket/photos, gs://, hdfs://, file://; write --ray after them",
    )
    group.add_argument("--resume", action="store_true", help="go on with an output that exists, without what is in it")
    group.add_argument("--workers", type=at_least(1), metavar="N", help="processes, of --threads CPUs each (all)")
