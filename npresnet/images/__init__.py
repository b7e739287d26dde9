"""Images: from a path, bytes, a picture or an array to the numbers that a network reads, as torchvision does it.

    find -> read -> cropped -> preprocess
    paths   RGB picture   (224, 224, 3) uint8   (1, 3, 224, 224) float32

Every step gives the very pixels of torchvision's PIL path (`Resize`, `CenterCrop`, `ToTensor`, `Normalize`), bit for
bit. Pillow is imported when the first image is read, not before.
"""

from npresnet.images.finding import EXTENSIONS, find
from npresnet.images.preprocessing import cropped, preprocess
from npresnet.images.presets import PRESETS, Preprocess, preset
from npresnet.images.reading import read

__all__ = ["EXTENSIONS", "PRESETS", "Preprocess", "cropped", "find", "preprocess", "preset", "read"]
