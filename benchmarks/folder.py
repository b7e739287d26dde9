"""A folder of photos to labels: whole processes, from the start of Python to the last label.

    python benchmarks/folder.py                        300 photos of 1 to 12 megapixels, every program 5 times
    python benchmarks/folder.py --photos 30 --quick    to try it out
    python benchmarks/folder.py --megapixels 0.1 0.3   as small as ImageNet's
    python benchmarks/folder.py --keep DIR             make the photos there, or use those of an earlier run

Each program in benchmarks/cold is what a user of that library would write. PyTorch gets torchvision's transforms in a
DataLoader with 0, 1 and 2 workers and in both memory layouts, ONNX Runtime gets Pillow, with and without threads that
read ahead. They run in turn, after one time that is not counted. Weights are random; all must give the same labels.
Photos are made from the test data's (NPRESNET_TEST_DATA), else from the one that npresnet ships. Close other programs
first.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: npresnet and benchmarks are those of this checkout
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.coldstart import LIBRARIES, convert
from benchmarks.kit import folder as kit
from benchmarks.kit import photos
from benchmarks.kit.cold import ColdResult, Program, operators_to_declare, race
from benchmarks.kit.script import command, default_path, default_text, say
from npresnet.bench import machine, results, tables
from npresnet.bench.arguments import count
from npresnet.bench.compare import Settings, prepare_apart
from npresnet.bench.peers import ONNX
from npresnet.bench.prepare import Request
from npresnet.bench.process import worker_environ

HERE = Path(__file__).resolve().parent
MODEL = "resnet18"
WORKERS = (0, 1, 2)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=count, default=300, metavar="N", help="how many (300)")
    parser.add_argument("--megapixels", type=float, nargs=2, default=[1.0, 12.0], metavar=("LEAST", "MOST"))
    parser.add_argument("--repetitions", type=count, default=5)
    parser.add_argument("--threads", type=count, default=2)
    parser.add_argument(
        "--programs",
        nargs="+",
        default=["npresnet", "onnxruntime", "torch"],
        metavar="NAME",
        help="those whose names begin so, npresnet first: npresnet onnxruntime torch",
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a folder for the photos, made there if it is missing")
    parser.add_argument("--quick", action="store_true", help="one repetition; kept only where --output says so")
    parser.add_argument("--output", type=Path, help=default_text("folder"))
    return parser.parse_args(arguments)


def programs(folder: Path, model: Path, seen: Path, threads: int) -> list[Program]:
    """npresnet first; then, with another preprocessing, its draft=True; then the others."""
    cache = {"NPRESNET_CACHE": str(folder / "cache"), "NPRESNET_PREPARED": "1"}

    def whole(name: str, title: str, script: str, weights: Path, *words: str, needs: tuple[str, ...] = ()) -> Program:
        arguments = [str(HERE / "cold" / f"{script}_folder.py"), str(weights), str(seen), str(threads), *words]
        return Program(name, title, arguments, needs, cache)

    npz, onnx = folder / "cold.npz", folder / ONNX
    torch, ort = ("torch", "torchvision"), ("onnxruntime",)
    return [
        whole("npresnet", "npresnet", "npresnet", npz),
        whole("npresnet.draft", "npresnet, draft=True", "npresnet", npz, "draft"),
        whole("onnxruntime.0", "ONNX Runtime + Pillow", "onnxruntime", onnx, "0", needs=ort),
        whole("onnxruntime.2", "ONNX Runtime + Pillow, 2 threads read", "onnxruntime", onnx, "2", needs=ort),
        *(
            whole(f"torch.{n}.{form}", f"torch, {n} workers, {form}", "torchvision", model, str(n), form, needs=torch)
            for form in ("NCHW", "channels_last")
            for n in WORKERS
        ),
    ]


def main(arguments: list[str]) -> int:
    """Run, print the table, write the JSON. 1 where a program that is installed failed or disagreed."""
    options = parse(arguments)
    repetitions = 1 if options.quick else options.repetitions
    environ = worker_environ(options.threads)
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # all libraries' modules are compiled once
    with tempfile.TemporaryDirectory(prefix="npresnet-folder-") as temporary:
        folder = Path(temporary)
        seen = options.keep or folder / "photos"
        _make_photos(seen, options)
        say("preparing weights and ONNX file")
        model = kit.write_model(MODEL, folder, seen)
        prepare_apart(Request(str(model), temporary), Settings(options.threads))
        convert(model, folder, environ, options.threads)
        environ["TORCHVISION_OPERATORS"] = operators_to_declare(environ)
        racing = programs(folder, model, seen.resolve(), options.threads)
        racing = [program for program in racing if program.name.startswith(tuple(options.programs))]
        found = race(racing, environ, repetitions=repetitions, say=say, timeout_s=900.0, judge=kit.judge)
        pixels, size_bytes = photos.total_pixels(seen)
    shown = {"threads": options.threads, "repetitions": repetitions, "model": MODEL, "photos": options.photos}
    shown |= {"megapixels": options.megapixels, "pixels": pixels, "bytes": size_bytes}
    shown |= {"distinct": len({index for index, _ in kit.answers(found[0]).values()})}
    shown |= {"versions": machine.library_versions(LIBRARIES)}
    entry = results.header("folder", command("folder", arguments), **shown, programs=_entries(found))
    print(kit.table(entry).to_text())
    print("\n".join(["", *kit.notes(entry), tables.conditions(entry)]))
    path = options.output or (None if options.quick else default_path("folder", entry))
    if path:
        results.write(path, entry)
    return int(any(result.status in ("failed", "wrong") for result in found))


def _make_photos(seen: Path, options: argparse.Namespace) -> None:
    """Write the photos unless they are there."""
    seen.mkdir(parents=True, exist_ok=True)
    there = len(list(seen.glob("*.jpg")))
    if there not in (0, options.photos):
        raise SystemExit(f"{seen.name} has {there} photos, not {options.photos}: empty it, or choose another folder")
    if not there:
        say(f"making {options.photos} photos")
        photos.write_phone_photos(seen, options.photos, megapixels=tuple(options.megapixels))


def _entries(found: list[ColdResult]) -> dict[str, Any]:
    """Each program's result, with how far its answers are from npresnet's instead of the answers."""
    expected = kit.answers(found[0])
    entries = {}
    for result in found:
        entry = result.to_dict()
        if entry.pop("printed", None):
            entry |= kit.differences(expected, kit.answers(result))
        entries[result.program.name] = entry
    return entries


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
