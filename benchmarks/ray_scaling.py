"""Pictures to Parquet by one worker and by two on this machine's own Ray cluster, and what each part costs.

    python benchmarks/ray_scaling.py                            resnet50, one thread a worker, five interleaved rounds
    python benchmarks/ray_scaling.py --model resnet18.npz --folder photos/

A round runs `npresnet.ray.predict` with one worker, then with two. Images per second are counted from the first chunk
that is done to the last, so that the start of processes, which is listed beside them, is left out. Of the parts the CPU
time is measured, in this process and on one thread: fetching a picture's bytes, decoding and preprocessing them, the
network in batches, and writing rows. Two workers need two free CPUs: close other programs. It stops by itself: no round
begins after --limit seconds.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

if not __package__:  # run as a script: npresnet and benchmarks are those of this checkout
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.kit.script import command, default_path, default_text, say
from npresnet import build, load
from npresnet.bench import machine, results, tables
from npresnet.bench.arguments import count
from npresnet.bench.table import Table
from npresnet.bench.timing import median

PHOTO = Path(__file__).resolve().parent.parent / "npresnet" / "data" / "chelsea.jpg"
WORKERS = (1, 2)
BATCH = 8  # images of a batch; chunks are as many, or a few times that, so that the ends of a run weigh little


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet50", help="a weight file, or a name, whose weights are random")
    parser.add_argument("--folder", type=Path, help="pictures of your own instead of copies of the included photo")
    parser.add_argument("--images", type=count, default=640, help="copies of the photo")
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--limit", type=count, default=900, help="seconds after which no round begins")
    parser.add_argument("--quick", action="store_true", help="64 images, one round; kept only where --output says so")
    parser.add_argument("--output", type=Path, help=default_text("ray"))
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run, print the tables, write the JSON."""
    options = parse(arguments)
    images, rounds = (64, 1) if options.quick else (options.images, options.rounds)
    began = perf_counter()
    with tempfile.TemporaryDirectory(prefix="npresnet-ray-") as name:
        folder = Path(name)
        model = _weights(options.model, folder)
        photos = options.folder or _copies(folder / "photos", images)
        parts = parts_of(model, photos, folder)
        found: dict[int, list[dict[str, float]]] = {workers: [] for workers in WORKERS}
        with _cluster():
            parts["hand out, take in and write, in one process"] = coordination(photos, folder)
            for number in range(rounds):
                for workers in WORKERS:
                    found[workers].append(run(model, photos, folder / f"{number}-{workers}.parquet", workers))
                    say(f"round {number + 1}, {workers} workers: {found[workers][-1]['images_per_s']:.1f} images/s")
                if perf_counter() - began > options.limit:
                    say(f"stopped after {number + 1} rounds: --limit {options.limit}")
                    break
    shown = {"threads": 1, "model": Path(options.model).name, "images": images, "parts_ms": parts}
    shown["versions"] = machine.library_versions(("numpy", "pillow", "ray", "pyarrow"))
    runs = {str(workers): rounds_found for workers, rounds_found in found.items()}
    entry = results.header("ray", command("ray_scaling", arguments), **shown, runs=runs)
    print(f"{entry['model']}, {images} pictures to Parquet, one thread a worker")
    print(scaling_table(entry).to_text(), parts_table(entry).to_text(), tables.conditions(entry), sep="\n\n")
    path = options.output or (None if options.quick else default_path("ray", entry))
    if path:
        results.write(path, entry)
    return 0


def run(model: str, photos: Path, output: Path, workers: int) -> dict[str, float]:
    """One run of `npresnet.ray.predict`: images per second of the work, and seconds of the whole."""
    from npresnet.ray import predict

    seen: list[tuple[float, int]] = []
    began = perf_counter()
    done = predict(
        photos,
        output,
        model=model,
        workers=workers,
        num_cpus=1,
        batch_size=BATCH,
        advance=lambda images, _: seen.append((perf_counter(), images)),
    )
    whole_s = perf_counter() - began
    if done.errors:
        raise RuntimeError(f"{done.errors} pictures of {photos} cannot be read")
    (first_s, before), (last_s, after) = seen[0], seen[-1]
    rate = (after - before) / (last_s - first_s) if len(seen) > 1 else after / whole_s
    return {"images_per_s": round(rate, 3), "whole_s": round(whole_s, 3), "first_chunk_s": round(first_s - began, 3)}


def parts_of(model: str, photos: Path, folder: Path) -> dict[str, float]:
    """Milliseconds of CPU time an image, of each part, on one thread."""
    from npresnet.ray.output import Output
    from npresnet.ray.sources import opener, resolve
    from npresnet.ray.table import table
    from npresnet.ray.worker import classified

    pictures = resolve(photos).files[: 8 * BATCH]
    read = opener(None)
    with load(model, threads=1) as opened:
        contents = [read(picture.path) for picture in pictures]
        inputs = [opened.preprocess(content) for content in contents[:BATCH]]
        batch = np.concatenate(inputs)
        opened(batch)
        rows = table(classified(opened, pictures[:BATCH], read, 5, BATCH))
        written = Output(folder / "parts", {}, resume=False)

        def write() -> None:
            for _ in range(125):
                written.add(rows)
            written.flush()

        return {
            "fetch": _ms(lambda: [read(picture.path) for picture in pictures], len(pictures)),
            "decode and preprocess": _ms(lambda: [opened.preprocess(content) for content in contents], len(contents)),
            "network": _ms(lambda: opened(batch), len(batch)),
            "write": _ms(write, 125 * len(pictures[:BATCH])),
        }


class Idle:
    """A worker that computes nothing."""

    def __init__(self, rows: Any):
        self._rows = rows

    def open(self) -> None:
        """There is no model."""

    def run(self, which: int, pictures: Any) -> Any:
        """As many rows as pictures."""
        return self._rows.slice(0, len(pictures))


def coordination(photos: Path, folder: Path) -> float:
    """Milliseconds of CPU time an image, in the process that hands out chunks and writes rows: workers do nothing."""
    from collections import deque

    import ray

    from npresnet.ray.chunks import BATCHES, Chunk
    from npresnet.ray.job import _Job
    from npresnet.ray.output import Output
    from npresnet.ray.sources import Picture
    from npresnet.ray.table import table

    top = [{"index": index, "label": "a label", "score": 0.2} for index in range(5)]
    pictures = [Picture(f"{photos}/{number:05d}.jpg", f"{photos}/{number:05d}.jpg") for number in range(32 * BATCHES)]
    rows = table([{"path": picture.shown, **top[0], "top": top} for picture in pictures])
    actor = ray.remote(Idle).options(num_cpus=1)
    todo = deque(Chunk(0, pictures) for _ in range(200))
    job = _Job(ray, lambda: actor.remote(rows), Output(folder / "idle", {}, resume=False), todo)
    began = process_time()
    done = job.run(max(WORKERS))
    return round((process_time() - began) * 1e3 / done.images, 4)


def scaling_table(entry: Any) -> Table:
    """One row for each number of workers."""
    alone = median([run["images_per_s"] for run in entry["runs"]["1"]])
    rows = []
    for workers, runs in entry["runs"].items():
        rates = sorted(run["images_per_s"] for run in runs)
        rate, first = median(rates), median([run["first_chunk_s"] for run in runs])
        rows.append([workers, f"{rate:.1f} ({rates[0]:.1f}-{rates[-1]:.1f})", f"{rate / alone:.2f}", f"{first:.1f}"])
    return Table(["workers", "images/s", "times one", "s to the first chunk"], rows)


def parts_table(entry: Any) -> Table:
    """What an image costs, part by part."""
    rows = [[name, f"{time_ms:.3f}"] for name, time_ms in entry["parts_ms"].items()]
    return Table(["part", "ms of CPU an image"], rows)


def _weights(model: str, folder: Path) -> str:
    """The file; of a name one with random weights."""
    if Path(model).exists():
        return str(Path(model).resolve())
    path = folder / f"{model}.npz"
    with build(model) as made:
        made.save(path)
    return str(path)


def _copies(folder: Path, images: int) -> Path:
    folder.mkdir()
    for number in range(images):
        shutil.copyfile(PHOTO, folder / f"{number:05d}.jpg")
    return folder


@contextmanager
def _cluster() -> Iterator[None]:
    """A local cluster of two CPUs, which ends with the block."""
    import ray

    ray.init(
        address="local",
        num_cpus=max(WORKERS),
        include_dashboard=False,
        object_store_memory=2**29,
        log_to_driver=False,
        logging_level="ERROR",
    )
    try:
        yield
    finally:
        ray.shutdown()


def _ms(call: Callable[[], Any], images: int) -> float:
    """Milliseconds of CPU time for one image: the median of five calls."""
    times = []
    for _ in range(5):
        began = process_time()
        call()
        times.append((process_time() - began) * 1e3 / images)
    return round(median(times), 4)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
