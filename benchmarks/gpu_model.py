"""What the GPU backend should take, by a model: no GPU, no PyTorch, and nothing measured.

    python benchmarks/gpu_model.py                                    resnet50 by layers; every network, batch, dtype
    python benchmarks/gpu_model.py --network resnet18 --dtype float16 --batch 32 --steps
    python benchmarks/gpu_model.py --results benchmarks/results/gpu-nvidia-h200-2027-01-31.json
    python benchmarks/gpu_model.py --card "NVIDIA H100 PCIe" 90 114   an H200 scaled to 114 multiprocessors

Every step is compiled as `load(..., device="cuda")` would, with the kernels and tiles that it would choose; bytes,
FLOPs and rounds are those of its launches. npresnet/cuda/compiler/cost.py says how they become microseconds, and holds
the constants of the card. A results file of gpu_report.py replaces the constants that it has measured, and its times
stand beside the predicted ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

if not __package__:  # run as a script: npresnet and benchmarks are those of this checkout
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import npresnet
from benchmarks.gpu import model, model_tables
from benchmarks.kit.script import models, read, say
from npresnet.bench import torchvision_models
from npresnet.cuda import ELEMENTS
from npresnet.cuda.compiler.choices import Processor
from npresnet.cuda.compiler.cost import Card, card_of
from npresnet.cuda.executable import MOST_IMAGES
from npresnet.cuda.pixels import Normalisation
from npresnet.model.runtime import AMPERE_DTYPES
from npresnet.passes import optimize

BATCHES = (1, 8, 32, 128, 256)
SHOWN = ("resnet50", "float16", 256)  # layer by layer, where several cases are asked for
H200 = ("NVIDIA H200", "90", "132")
MEASURED_SIZE = 224  # of the images in a results file
PIXELS = Normalisation((0.5,) * 3, (0.25,) * 3)  # any: times do not depend on the numbers


class Machine(NamedTuple):
    """A GPU and its constants, and a results file of it, or {}."""

    gpu: Processor
    card: Card
    results: Mapping[str, Any]


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = torchvision_models.names()
    parser.add_argument("--network", nargs="+", default=["all"], choices=["all", *known], metavar="N")
    parser.add_argument("--dtype", nargs="+", default=list(ELEMENTS), choices=list(ELEMENTS), metavar="D")
    parser.add_argument("--batch", nargs="+", type=_batch, default=list(BATCHES), metavar="B", help="images at once")
    parser.add_argument(
        "--size", type=_count, default=MEASURED_SIZE, help="height and width of the images (default: 224)"
    )
    parser.add_argument("--pixels", action="store_true", help="images come as bytes, as `predict` brings them")
    parser.add_argument("--steps", action="store_true", help="every step, not the layers of a stage together")
    parser.add_argument("--card", nargs=3, metavar=("NAME", "CAPABILITY", "MULTIPROCESSORS"), default=H200)
    parser.add_argument("--results", type=Path, help="a results file of gpu_report.py")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Print the tables."""
    options = parse(arguments)
    try:
        machine = _machine(options)
        cases = dict(_cases(options, machine))
    except (OSError, ValueError, npresnet.NpresnetError) as error:
        print(f"gpu_model.py: {error}", file=sys.stderr)
        return 1
    if not cases:
        return 1
    print(model_tables.statement(machine.card, machine.gpu, options.results))
    totals = {key: model.together("sum", rows) for key, rows in cases.items()}
    for key in [SHOWN] if len(cases) > 1 and SHOWN in cases else list(cases)[:1]:
        rows = cases[key] if options.steps else model.by_group(cases[key])
        print(f"\n## {key[0]}, {key[1]}, batch {key[2]}\n")
        print(model_tables.layers(rows, totals[key], steps=options.steps).to_markdown())
        print("\n## What fused segments gain, predicted\n")
        print(model_tables.segments(_apart(options, machine, key), totals[key], key[2]).to_markdown())
    print("\n## Images a second, predicted (us a batch)\n")
    print(model_tables.networks(totals).to_markdown())
    if measured_ms := model.measured_ms(machine.results, pixels=options.pixels):
        print("\n## Predicted beside measured\n")
        print(model_tables.beside(totals, measured_ms).to_markdown())
    if any(batch == min(BATCHES) for _, _, batch in totals):
        print("\n## Batch 1: nodes of the graph\n")
        print(model_tables.nodes(totals, machine.card).to_markdown())
    return 0


def _machine(options: argparse.Namespace) -> Machine:
    """Of the command line, or the one that the results file is of."""
    entry: dict[str, Any] = {}
    if options.results:
        entry, gpu = _results(options.results)
    else:
        name, *numbers = options.card
        if not all(number.isdecimal() and int(number) for number in numbers):
            raise ValueError(
                f"--card takes a name and two numbers, such as {' '.join(H200[1:])}, got {' '.join(numbers)}"
            )
        gpu = Processor(name, *map(int, numbers))
    card = card_of(gpu.name, gpu.multiprocessors)
    card = model.measured_card(card, entry, gpu)
    if entry and options.size != MEASURED_SIZE:
        say(f"gpu_model.py: what was measured is of images of {MEASURED_SIZE}: it is left out beside {options.size}")
        entry = {}
    return Machine(gpu, card, entry)


def _results(path: Path) -> tuple[dict[str, Any], Processor]:
    """A results file, and the GPU that it is of."""
    try:
        entry = read(path)
        gpu = Processor(*((entry or {})["gpu"][key] for key in ("name", "capability", "multiprocessors")))
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is not a results file of gpu_report.py") from None
    return entry or {}, gpu


def _cases(options: argparse.Namespace, machine: Machine) -> Iterator[tuple[model_tables.Key, list[model.Row]]]:
    """Every network is built once: random weights of some take a second."""
    shape, pixels = (3, options.size, options.size), PIXELS if options.pixels else None
    lacking = AMPERE_DTYPES if machine.gpu.capability < 80 else ()
    dtypes = [dtype for dtype in options.dtype if dtype not in lacking]
    for dtype in options.dtype:
        if dtype in lacking:
            say(f"gpu_model.py: {dtype} is left out: it needs compute capability 8.0 or later")
    for name in models(options.network):
        with npresnet.build(name) as built:
            network = optimize(built.network)
        for dtype, batch in product(dtypes, options.batch):
            rows = model.predict(network, batch, ELEMENTS[dtype], machine.gpu, machine.card, shape, pixels)
            case = f"{name} {dtype} batch {batch}"
            beside = {} if pixels else machine.results  # kernels are timed in networks of float32 images
            yield (name, dtype, batch), model.with_measured(rows, beside, case)


def _apart(options: argparse.Namespace, machine: Machine, key: model_tables.Key) -> model.Row:
    """One case by a kernel for each operation."""
    name, dtype, batch = key
    with npresnet.build(name) as built:
        network = optimize(built.network)
    shape, pixels = (3, options.size, options.size), PIXELS if options.pixels else None
    rows = model.predict(network, batch, ELEMENTS[dtype], machine.gpu, machine.card, shape, pixels, apart=True)
    return model.together("sum", rows)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {number}")
    return number


def _batch(text: str) -> int:
    if (number := _count(text)) > MOST_IMAGES:
        raise argparse.ArgumentTypeError(f"more than {MOST_IMAGES} images run in parts of so many, got {number}")
    return number


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
