"""ImageNet preprocessing with Pillow and NumPy, for engines without their own."""

import numpy as np
from PIL import Image

MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


def preprocess(path):
    """The image file as (1, 3, 224, 224) float32: short side 256, centre crop, normalised."""
    image = Image.open(path).convert("RGB")
    width, height = (256 * side // min(image.size) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - 224) / 2), round((height - 224) / 2)
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), dtype=np.float32) / 255  # (224, 224, 3)
    return np.ascontiguousarray(((pixels - MEAN) / STD).transpose(2, 0, 1)[None])
