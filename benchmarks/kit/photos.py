"""JPEG photos for benchmarks, made from real ones: as large as phones make them, crops, and CIFAR-10's enlarged.

Everything is seeded: the same sources give the same pixels on every machine (the same bytes with the same libjpeg).
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops

SHIPPED = Path(__file__).resolve().parents[2] / "npresnet" / "data" / "chelsea.jpg"
DATA = Path(os.environ.get("NPRESNET_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
QUALITIES = (75, 80, 85, 90, 95)
ASPECTS = ((4, 3), (3, 4), (16, 9), (3, 2))
GRAIN = 9  # a sensor's noise: its standard deviation in grey levels; without it an enlarged photo decodes too easily


def sources() -> list[Path]:
    """The photos of the test data, else the one that npresnet ships."""
    found = sorted((DATA / "photos").glob("*.JPEG"))
    return found or [SHIPPED]


def write_phone_photos(
    folder: Path, count: int, *, megapixels: tuple[float, float] = (1.0, 12.0), seed: int = 0
) -> None:
    """Write `count` JPEG files: sources enlarged to megapixels drawn evenly between two numbers, with a sensor's noise,
    in phones' aspects and in qualities 75 to 95."""
    rng = np.random.default_rng(seed)
    grain = _grain(rng)
    known = [_opened(path) for path in sources()]
    for number in range(count):
        pixels = rng.uniform(*megapixels) * 1e6
        across, down = ASPECTS[rng.integers(len(ASPECTS))]
        unit = (pixels / (across * down)) ** 0.5
        size = (round(unit * across / 8) * 8, round(unit * down / 8) * 8)  # as cameras do
        image = _cropped(known[number % len(known)], across / down).resize(size, Image.Resampling.BICUBIC)
        shift = [int(start) for start in rng.integers(0, 1024, 2)]
        quality = int(rng.choice(QUALITIES))
        _noisy(image, grain, shift).save(folder / f"{number:04}.jpg", quality=quality)


def crops(each: int, seed: int = 0) -> Iterator[bytes]:
    """`each` square crops of every source, between half and all of its short side, as JPEG files."""
    rng = np.random.default_rng(seed)
    for path in sources():
        image = _opened(path)
        for _ in range(each):
            side = round(min(image.size) * rng.uniform(0.5, 1.0))
            left, top = (int(rng.integers(0, length - side + 1)) for length in image.size)
            yield encoded(image.crop((left, top, left + side, top + side)), int(rng.choice(QUALITIES)))


def has_cifar() -> bool:
    """Whether the test data is there."""
    return (DATA / "cifar10" / "test.tar").is_file()


def enlarged_cifar(times: int, most: int | None = None) -> Iterator[tuple[bytes, str]]:
    """CIFAR-10's test pictures, so many times larger, as JPEG files with the names of their classes."""
    with tarfile.open(DATA / "cifar10" / "test.tar") as tar:
        members = [member for member in tar if member.name.endswith(".jpg")]
        for member in sorted(members, key=lambda member: member.name[-8:])[:most]:  # of every class in turn
            file = tar.extractfile(member)
            assert file is not None
            image = Image.open(file).convert("RGB")
            size = (image.width * times, image.height * times)
            yield encoded(image.resize(size, Image.Resampling.BICUBIC), 90), member.name.split("/")[-2]


def encoded(image: Image.Image, quality: int) -> bytes:
    """The bytes of a JPEG file."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def total_pixels(folder: Path) -> tuple[int, int]:
    """(pixels, bytes) of all JPEG files of a folder."""
    found = [(*Image.open(path).size, path.stat().st_size) for path in sorted(folder.glob("*.jpg"))]
    return sum(width * height for width, height, _ in found), sum(size for *_, size in found)


def _opened(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


def _cropped(image: Image.Image, aspect: float) -> Image.Image:
    """The centre, width : height as wanted."""
    width, height = min(image.width, round(image.height * aspect)), min(image.height, round(image.width / aspect))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _grain(rng: np.random.Generator) -> Image.Image:
    """A tile of noise around 128, 2048 x 2048."""
    noise = rng.normal(128, GRAIN, (2048, 2048, 3)).round().clip(0, 255)
    return Image.fromarray(noise.astype(np.uint8))


def _noisy(image: Image.Image, grain: Image.Image, shift: list[int]) -> Image.Image:
    """The image with tiles of noise added, the first one shifted."""
    tiles = Image.new("RGB", image.size)
    for top in range(-shift[1], image.height, grain.height):
        for left in range(-shift[0], image.width, grain.width):
            tiles.paste(grain, (left, top))
    return ImageChops.add(image, tiles, scale=1.0, offset=-128)
