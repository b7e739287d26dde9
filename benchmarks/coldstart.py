"""From a weight file to a label in a fresh process: import, load, one prediction of a photo; and its peak memory.

    python benchmarks/coldstart.py                     15 interleaved repetitions of every program in benchmarks/cold
    python benchmarks/coldstart.py --image dog.jpg

A ResNet-18 with random weights; each program is what a user of that library would write, and all must print the same
index. Every OPENBLAS_* variable is unset. The files are in the page cache: the first repetition is not counted.

npresnet stores prepacked weights in the user's cache folder; here that is a folder of this run. It is measured twice:
after `npresnet prepare`, and with that folder deleted before each repetition, which then prepacks the weights.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

if not __package__:  # run as a script: npresnet and benchmarks are those of this checkout
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.kit.cold import Program, operators_to_declare, race
from benchmarks.kit.script import command, default_path, default_text, say
from benchmarks.kit.tables import cold_problems, cold_table
from npresnet.bench import machine, results, tables
from npresnet.bench.arguments import count
from npresnet.bench.compare import Settings, prepare_apart
from npresnet.bench.peers import ONNX
from npresnet.bench.prepare import Request
from npresnet.bench.process import worker_environ

HERE = Path(__file__).resolve().parent
LIBRARIES = ("numpy", "pillow", "onnxruntime", "openvino", "torch", "torchvision")
PHOTO = HERE.parent / "npresnet" / "data" / "chelsea.jpg"


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=count, default=15)
    parser.add_argument("--threads", type=count, default=2)
    parser.add_argument("--image", type=Path, default=PHOTO)
    parser.add_argument("--quick", action="store_true", help="one repetition; kept only where --output says so")
    parser.add_argument("--output", type=Path, help=default_text("coldstart"))
    return parser.parse_args(arguments)


def programs(folder: Path, model: Path, image: Path, threads: int) -> list[Program]:
    """The programs to compare, and two that show the time of Python and NumPy alone."""

    def cold(name: str, title: str, weights: Path, *needs: str, emptied: Path | None = None) -> Program:
        script = HERE / "cold" / f"{name.split('.')[0]}_predict.py"
        cache = {"NPRESNET_CACHE": str(emptied or folder / "cache")}
        words = [str(script), str(weights), str(image.resolve()), str(threads)]
        return Program(name, title, words, needs, cache, emptied)

    npz, first_time = folder / "cold.npz", folder / "cache-of-the-first"
    written_by_torch = [cold("npresnet.pth", "npresnet, .pth", model)] if model.suffix == ".pth" else []
    return [
        cold("npresnet.npz", "npresnet, .npz", npz),
        cold("npresnet.npz.first", "npresnet, .npz, the first time ever", npz, emptied=first_time),
        *written_by_torch,
        cold("onnxruntime", "ONNX Runtime", folder / ONNX, "onnxruntime"),
        cold("openvino", "OpenVINO", folder / ONNX, "openvino"),
        cold("torch", "torch alone", model, "torch"),
        cold("torchvision", "torch + torchvision", model, "torch", "torchvision"),
        Program("python", "(Python itself)", ["-c", "pass"]),
        Program("numpy", "(import numpy)", ["-c", "import numpy"]),
    ]


def main(arguments: list[str]) -> int:
    """Run, print the table, write the JSON. 1 where a program that is installed failed or disagreed."""
    options = parse(arguments)
    repetitions = 1 if options.quick else options.repetitions
    environ = worker_environ(options.threads)
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # all libraries' modules are compiled once
    with tempfile.TemporaryDirectory(prefix="npresnet-cold-") as folder:
        say("preparing weights and ONNX file")
        prepared = prepare_apart(Request("resnet18", folder), Settings(options.threads))
        model = Path(prepared.model)
        convert(model, Path(folder), environ, options.threads)
        environ["TORCHVISION_OPERATORS"] = operators_to_declare(environ)
        found = race(
            programs(Path(folder), model, options.image, options.threads), environ, repetitions=repetitions, say=say
        )
    shown = {"threads": options.threads, "repetitions": repetitions}
    programs_found = {result.program.name: result.to_dict() for result in found}
    shown |= {"model": "resnet18", "versions": machine.library_versions(LIBRARIES)}
    entry = results.header("coldstart", command("coldstart", arguments), **shown, programs=programs_found)
    print(cold_table(entry).to_text())
    print("\n".join(["", *cold_problems(entry), tables.conditions(entry)]))
    path = options.output or (None if options.quick else default_path("coldstart", entry))
    if path:
        results.write(path, entry)
    return int(any(result.status in ("failed", "wrong") for result in found))


def convert(source: Path, folder: Path, environ: dict[str, str], threads: int) -> None:
    """Write cold.npz, and prepared weights to the programs' cache."""
    program = "import sys, npresnet as n; n.prepare(n.convert(*sys.argv[1:3]), threads=int(sys.argv[3]))"
    words = [sys.executable, "-c", program, str(source), str(folder / "cold.npz"), str(threads)]
    subprocess.run(
        words, env={**environ, "NPRESNET_CACHE": str(folder / "cache"), "NPRESNET_PREPARED": "1"}, check=True
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
