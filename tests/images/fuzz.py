"""Mutated pictures: each is read or refused by an ImageError, in bounded time and memory.

    python -m tests.images.fuzz --inputs 20000 --seed 7      by hand or at night; a table, exit code 1 on failures

Half of the mutations know the format: they write sizes, counts and offsets at the edges into its header, with checksums
mended, so that decoders get further than a wrong signature. The others flip, cut, repeat and insert bytes anywhere.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import resource
import signal
import struct
import sys
import time
import traceback
import warnings
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from npresnet.errors import ImageError
from npresnet.images import Preprocess, preprocess, read
from tests.images.pictures import encoded, picture

ADDRESS_SPACE = 3 << 30  # bytes; with the interpreter's and NumPy's own
CLOCK_S, CPU_S, GROWTH_MB = 60, 2.0, 300  # wall clock of one picture, its CPU time, its memory
MAX_PIXELS = 2**22

EDGES = [0, 1, 2, 3, 7, 8, 16, 17, 40, 41, 127, 128, 255, 256, 300, 2000, 32767, 32768, 65535, 70_000, 2**24, 2**31 - 1]
EDGES += [2**31, 2**32 - 1]

HOWS = [Preprocess(32, 32), Preprocess(32, None, exif=True), Preprocess((40, 30), 24, antialias=False)]
HOWS += [Preprocess(None, None, (0.5,), (0.5,)), Preprocess(None, 64, exif=True)]


def seeds() -> dict[str, list[bytes]]:
    """Small pictures of each format, of several modes and options."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[271] = "camera"
    deep = Image.fromarray(np.arange(40 * 32, dtype=np.uint16).reshape(40, 32) * 50)
    floats = Image.fromarray(np.linspace(0, 1, 40 * 32, dtype=np.float32).reshape(40, 32))
    frames = {"save_all": True, "append_images": [picture("RGB", 40, 32, 5)]}

    def of(kind: str, *modes: str, **options: object) -> list[bytes]:
        return [encoded(picture(mode, 40, 32), kind, **options) for mode in modes]

    return {
        "PNG": [*of("PNG", "RGB", "L", "1"), *of("PNG", "P", transparency=3), *of("PNG", "RGBA", exif=exif),
                encoded(deep, "PNG"), *of("PNG", "RGB", **frames)],
        "JPEG": [*of("JPEG", "RGB", exif=exif), *of("JPEG", "L", "CMYK"), *of("JPEG", "RGB", progressive=True)],
        "GIF": [*of("GIF", "P", "L"), *of("GIF", "P", save_all=True, append_images=[picture("P", 40, 32, 5)])],
        "TIFF": [*of("TIFF", "RGB", "1"), *of("TIFF", "P", compression="tiff_lzw"), encoded(deep, "TIFF", exif=exif),
                 encoded(floats, "TIFF", compression="tiff_adobe_deflate"), *of("TIFF", "L", compression="packbits")],
        "WEBP": [*of("WEBP", "RGB", exif=exif), *of("WEBP", "RGBA", lossless=True), *of("WEBP", "RGB", **frames)],
        "BMP": of("BMP", "RGB", "L", "P", "1"),
        "PPM": [*of("PPM", "RGB", "L", "1"), b"P5 32 40 65535\n" + bytes(2560), b"P2 3 2 900\n0 1 2\n300 400 900\n"],
        "ICO": of("ICO", "RGBA"),
    }  # fmt: skip


# --- mutations that know the format: (data, random) -> data -----------------------------------------------------------


def png(data: bytearray, rng: random.Random) -> None:
    """A field of a chunk, or of IHDR, whose checksum is mended."""
    starts, at = [], 8
    while at + 12 <= len(data):
        starts.append(at)
        at += 12 + struct.unpack_from(">I", data, at)[0]
    start = starts[0] if rng.random() < 0.6 else rng.choice(starts)
    size = struct.unpack_from(">I", data, start)[0]
    if start == starts[0]:
        if rng.random() < 0.6:
            struct.pack_into(">I", data, start + 8 + rng.choice((0, 4)), rng.choice(EDGES))
        else:
            data[start + 16 + rng.randrange(5)] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    elif size:
        data[start + 8 + rng.randrange(min(size, 40))] = rng.randrange(256)
    struct.pack_into(">I", data, start + 8 + size, zlib.crc32(data[start + 4 : start + 8 + size]))


def jpeg(data: bytearray, rng: random.Random) -> None:
    """A byte of a marker's header, most often of the frame's, which has sizes and sampling."""
    marks = [at for at in range(2, len(data) - 20) if data[at] == 0xFF and data[at + 1] not in (0, 0xFF)]
    frames = [at for at in marks if data[at + 1] in (0xC0, 0xC2)]
    at = rng.choice(frames if frames and rng.random() < 0.5 else marks)
    if rng.random() < 0.5 and data[at + 1] in (0xC0, 0xC2):
        struct.pack_into(">H", data, at + rng.choice((5, 7)), rng.choice(EDGES) & 0xFFFF)
    else:
        data[at + rng.randrange(1, 18)] = rng.choice((0, 1, 2, 4, 17, 34, 68, 255, rng.randrange(256)))


def little_endian(fields: list[tuple[int, str]]) -> Callable[[bytearray, random.Random], None]:
    """One of the header's (offset, struct's format)."""

    def change(data: bytearray, rng: random.Random) -> None:
        at, form = rng.choice(fields)
        if at + struct.calcsize(form) <= len(data):
            struct.pack_into("<" + form, data, at, rng.choice(EDGES) % 256 ** struct.calcsize(form))

    return change


def tiff(data: bytearray, rng: random.Random) -> None:
    """A tag's number, type, count or value."""
    (start,) = struct.unpack_from("<I", data, 4)
    if start + 2 > len(data):
        return
    (count,) = struct.unpack_from("<H", data, start)
    entry = start + 2 + 12 * rng.randrange(max(1, count))
    at, form = rng.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "I")))
    if entry + 12 <= len(data):
        struct.pack_into("<" + form, data, entry + at, rng.choice(EDGES) % 256 ** struct.calcsize(form))


def netpbm(data: bytearray, rng: random.Random) -> None:
    """A number of the header."""
    parts = bytes(data).split(None, 4)
    if len(parts) > 3:
        parts[rng.choice((1, 2, 3))] = str(rng.choice(EDGES)).encode()
        data[:] = b" ".join(parts)


KNOWING = {
    "PNG": png,
    "JPEG": jpeg,
    "GIF": little_endian([(6, "H"), (8, "H"), (10, "B"), (11, "B"), (800, "H"), (804, "H"), (806, "H"), (808, "B")]),
    "TIFF": tiff,
    "WEBP": little_endian([(4, "I"), (16, "I"), (20, "B"), (24, "I"), (26, "H"), (28, "H"), (27, "H")]),
    "BMP": little_endian(
        [(2, "I"), (10, "I"), (14, "I"), (18, "I"), (22, "I"), (26, "H"), (28, "H"), (30, "I"), (46, "I")]
    ),
    "PPM": netpbm,
    "ICO": little_endian([(2, "H"), (4, "H"), (6, "B"), (7, "B"), (12, "H"), (14, "I"), (18, "I")]),
}


def anywhere(data: bytearray, rng: random.Random) -> None:
    """Bytes changed, cut off, repeated, left out or put in."""
    at, kind = rng.randrange(len(data)), rng.randrange(6)
    if kind == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[max(4, at) :]
    elif kind == 2:
        data[at:at] = data[at : at + rng.randrange(1, 64)] * rng.choice((1, 2, 50))
    elif kind == 3:
        del data[at : at + rng.randrange(1, 16)]
    elif kind == 4:
        data[at : at + 4] = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\1\0"))
    else:
        data[at:at] = rng.randbytes(rng.randrange(1, 40))


def mutated(kind: str, seed: bytes, rng: random.Random) -> bytes:
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        if rng.random() < 0.55:
            with contextlib.suppress(struct.error, IndexError, ValueError):  # its header was damaged before
                KNOWING[kind](data, rng)
        else:
            anywhere(data, rng)
        if len(data) < 30:
            data += bytes(30)
    return bytes(data)


# --- one picture ------------------------------------------------------------------------------------------------------


def outcome(data: bytes, number: int) -> str:
    """ "read", "refused", or what went wrong."""
    how = HOWS[number % len(HOWS)]
    Image.MAX_IMAGE_PIXELS = 2**20 if number % 2 else 2**27  # below ours: the files are opened without Pillow's check
    try:
        x = preprocess(data, how, max_pixels=MAX_PIXELS)
        assert x.dtype == np.float32, x.dtype
        assert x.shape[:2] == (1, how.channels), x.shape
        assert np.isfinite(x).all()
        assert read(data, exif=how.exif, max_pixels=MAX_PIXELS).mode == "RGB"
    except ImageError as error:
        text = str(error)
        if "does not fit into memory" in text:
            return text
        return "refused" if len(text) < 2000 else f"a message of {len(text)} characters"
    except BaseException:
        return traceback.format_exc()
    return "read"


def peak_mb() -> float:
    """The peak of resident memory since the last call of `reset`; of the process where the system does not tell."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def reset() -> None:
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    warnings.simplefilter("ignore")
    found = seeds()
    table = {kind: {"inputs": 0, "read": 0, "refused": 0, "slowest_s": 0.0, "largest_mb": 0.0} for kind in found}
    failures = []
    for number in range(args.inputs):
        kind = sorted(found)[number % len(found)]
        rng = random.Random(f"{args.seed} {number}")
        data = mutated(kind, rng.choice(found[kind]), rng)
        reset()
        before, start = peak_mb(), time.process_time()
        signal.alarm(CLOCK_S)  # ends the process: its exit code tells
        result = outcome(data, number)
        signal.alarm(0)
        took, grew = time.process_time() - start, peak_mb() - before
        row = table[kind]
        row["inputs"] += 1
        row["slowest_s"], row["largest_mb"] = max(row["slowest_s"], took), max(row["largest_mb"], grew)
        if result in row:
            row[result] += 1
        if result not in row or took > CPU_S or grew > GROWTH_MB:
            failures.append({"seed": args.seed, "number": number, "kind": kind, "what": result, "s": took, "mb": grew})
    print(json.dumps({"table": table, "failures": failures}, indent=None if args.json else 2))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
