"""Normalisation: what makes the network's input of the pixels of pictures that are resized and cropped already."""

from __future__ import annotations

from typing import NamedTuple

from npresnet.errors import ShapeError


class Normalisation(NamedTuple):
    """x[n,c,i,j] = (pixel[n,i,j,c] / 255 - mean[c]) / std[c], each step rounded to float32: the CPU's very bits.

    A program compiled with one takes its images as pixels: (N, H, W, C) uint8, contiguous. Without one they come
    normalised already: (N, C, H, W) float32.

    mean, std  one number a channel, 1 to 4 of them: as `npresnet.images.Preprocess` holds them
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def check(self, channels: int) -> None:
        """Raises ShapeError unless it is made for images of this many channels."""
        if len(self.mean) != channels:
            raise ShapeError(f"the network expects images of {channels} channels, the pixels have {len(self.mean)}")
