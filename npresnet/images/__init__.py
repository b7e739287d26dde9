"""Images: from a path, bytes, a picture or an array to the numbers that a network reads, as torchvision does it.

    find -> read -> cropped -> preprocess
    paths   RGB picture   (224, 224, 3) uint8   (1, 3, 224, 224) float32

Every step gives the very pixels of torchvision's PIL path (`Resize`, `CenterCrop`, `ToTensor`, `Normalize`), bit for
bit. Pillow is imported when the first image is read, not before.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from npresnet.images.preprocessing import cropped, preprocess
from npresnet.images.presets import PRESETS, Preprocess, preset
from npresnet.images.reading import read

if TYPE_CHECKING:
    from npresnet.images.finding import EXTENSIONS, find

__all__ = ["EXTENSIONS", "PRESETS", "Preprocess", "cropped", "find", "preprocess", "preset", "read"]


def __getattr__(name: str) -> Any:
    if name not in ("EXTENSIONS", "find"):  # which a single image does not need
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.finding"), name)
