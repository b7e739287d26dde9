"""Test images: noise in any mode and size, and torchvision's transforms as the oracle."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from npresnet.images import Preprocess
from tests.support.torchvision_import import import_torchvision


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """(height, width, channels) uint8, with smooth areas, where rounding matters, and rough ones."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(0, 256, (height, width, channels))
    slope = np.linspace(0, 255, height * width).reshape(height, width, 1)
    return np.where(np.arange(width)[:, np.newaxis] % 32 < 16, rough, slope).astype(np.uint8)


def picture(mode: str, height: int, width: int, seed: int = 0) -> Image.Image:
    """A PIL image of noise in this mode."""
    rgb = Image.fromarray(noise(height, width, 3, seed))
    if mode in ("RGBA", "LA"):
        rgb.putalpha(Image.fromarray(noise(height, width, 1, seed + 1)[:, :, 0]))
    return rgb if rgb.mode == mode else rgb.convert(mode)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    """The bytes of an image file."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def by_torchvision(image: Image.Image, how: Preprocess) -> np.ndarray:
    """An image that is already in its final mode, preprocessed by torchvision: (1, C, H, W) float32."""
    import_torchvision()
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

    steps = []
    if how.resize is not None:
        steps.append(Resize(how.resize, interpolation=InterpolationMode(how.interpolation)))
    if how.crop is not None:
        steps.append(CenterCrop(how.crop))
    return Compose([*steps, ToTensor(), Normalize(how.mean, how.std)])(image).numpy()[np.newaxis]


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal shape, dtype and bits; no tolerance."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
