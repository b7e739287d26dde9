"""Images: read paths, bytes, PIL images or arrays and preprocess them as torchvision does.

    find -> read -> cropped -> preprocess
    paths   RGB image   (224, 224, 3) uint8   (1, 3, 224, 224) float32

    opening, limits          a file's header; how many pixels a picture may have, before and after it is resized
    orientation, deep        turned by EXIF; 16 and 32 bits to 8
    draft                    JPEG files scaled while they are decoded, if that is asked for
    bands                    what needs little memory when it is done to some rows after the others
    preprocessing, bilinear  resize, crop, normalise; without antialias

Networks for clips take frames: `clips` reads a folder, a list or an array of them.

Every step matches torchvision's transforms on PIL images (`Resize`, `CenterCrop`, `ToTensor`, `Normalize`) bit for bit,
unless `draft` is asked for.
Pillow is imported only when an image is read.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from npresnet.images.preprocessing import crop_in_photo, cropped, pixels, preprocess
from npresnet.images.presets import PRESETS, Preprocess, preset
from npresnet.images.reading import read

if TYPE_CHECKING:
    from npresnet.images.finding import EXTENSIONS, find

__all__ = [
    "EXTENSIONS", "PRESETS", "Preprocess", "crop_in_photo", "cropped", "find", "pixels", "preprocess", "preset", "read",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in ("EXTENSIONS", "find"):  # not needed for a single image
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.finding"), name)
