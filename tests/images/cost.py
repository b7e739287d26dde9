"""What pictures cost in memory beside what Pillow alone takes: `python -m tests.images.cost FOLDER` prints JSON.

{"picture, preprocessing": [MB of preprocess, MB of Pillow to open and convert, or 0 where that tells nothing]}
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from npresnet.errors import ImageError
from npresnet.images import Preprocess, preprocess

SIDE = 2000
HOWS = {"uncropped": [Preprocess(None, None)], "strip": ["V1", "detect-and-track"]}  # others: V1 and kinetics


def in_a_child(work: Callable[[], Any]) -> Any:
    """What it returns. In a process of its own: freed memory is used again, and would hide what the next one needs."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writes, json.dumps(work()).encode())
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as told:
        found = told.read()
    os.waitpid(child, 0)
    return json.loads(found)


def grown(work: Callable[[], Any]) -> float:
    """MB by which the peak of resident memory grows. A picture that is refused must say which option allows it."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = peak()
    try:
        work()
    except ImageError as error:
        if "max_pixels" not in str(error):
            raise
    return peak() - before


def peak() -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def write(folder: Path) -> None:
    deep = np.zeros((SIDE, SIDE), np.uint16)
    deep[5, 5] = 60_000
    wide = Image.fromarray(deep.astype(np.int32) * 9)
    Image.new("1", (SIDE, SIDE)).save(folder / "1 bit.png")
    Image.fromarray(deep).save(folder / "16 bits.png")
    wide.save(folder / "32 bits.tif", compression="tiff_adobe_deflate")
    wide.convert("F").save(folder / "floats.tif", compression="tiff_adobe_deflate")
    for mode in ("P", "RGB", "RGBA"):
        Image.new(mode, (SIDE, SIDE)).save(folder / f"{mode}.png", compress_level=1)
    Image.new("CMYK", (SIDE, SIDE)).save(folder / "CMYK.jpg")
    for width, height, mode in ((1, 600, "P"), (900, 1, "L"), (1, 2048, "L"), (4, 60_000, "L")):
        Image.new(mode, (width, height)).save(folder / f"strip {width} {height}.png")
    Image.new("RGB", (4096, 4096)).save(folder / "uncropped.png", compress_level=1)


def main(folder: Path) -> None:
    warnings.simplefilter("ignore")
    in_a_child(lambda: write(folder))
    for how in ("V1", "kinetics"):  # what is imported once
        preprocess(np.zeros((9, 9, 3), np.uint8), how)
    Image.init()
    costs = {}
    for path in sorted(folder.iterdir()):
        own = HOWS.get(path.name.split(" ")[0].removesuffix(".png"))
        pillow = 0 if own else in_a_child(lambda path=path: grown(lambda: Image.open(path).convert("RGB")))
        for how in own or ["V1", "kinetics"]:
            ours = in_a_child(lambda path=path, how=how: grown(lambda: preprocess(path, how)))
            costs[f"{path.name}, {how}"] = (ours, pillow)
    print(json.dumps(costs))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
