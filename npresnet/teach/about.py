"""What pages say of the photo, of the model's answer, and of the device that ran it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from npresnet import images
from npresnet.network import Array
from npresnet.ops.registry import OPERATIONS
from npresnet.system.text import visible

if TYPE_CHECKING:
    from npresnet.model.model import Model


@dataclass(frozen=True)
class Device:
    """The device that ran a model, in the words that pages and tables need.

    is_gpu  False for the CPU
    name    "CPU", or the GPU's own name
    dtype   what values are stored and factors rounded to: "float32", "float16", ...
    timed   where steps are timed, one after another: "on one thread of this machine"
    part    what a step consists of: "tile", "kernel launch"
    near    where a step's result is while the step still works on it: "in the cache"
    """

    is_gpu: bool
    name: str
    dtype: str
    timed: str
    part: str
    near: str

    @property
    def item_bytes(self) -> int:
        """Bytes of one stored value."""
        return 2 if self.dtype in ("float16", "bfloat16") else 4


def device_of(model: Model) -> Device:
    """The device that a model was loaded for."""
    address, dtype = model.config["device"].value, model.config["dtype"].value
    if address == "cpu":
        return Device(False, "CPU", dtype, "on one thread of this machine", "tile", "in the cache")
    from npresnet import cuda  # only here: whoever computes on the CPU loads nothing of the GPU's

    name = cuda.open_gpu(address).name
    return Device(True, name, dtype, f"on {name} ({address})", "kernel launch", "in registers")


def name_of(image: Any) -> str:
    """A file's name without its folders, for a page may be handed on; "an image" for one that has none."""
    if isinstance(image, (str, os.PathLike)):
        return visible(os.path.basename(os.fsdecode(image)))
    return "an image"


def shown_image(model: Model, image: Any) -> Array:
    """What the network sees of an image: (H, W, 3) uint8."""
    return images.cropped(image, model.config["preprocess"].value, max_pixels=model.config.value("max_pixels"))


def predict(model: Model, batch: Array) -> list[tuple[str, float]]:
    """The three best classes of the first image of (N, C, H, W); none where the network has no classifier."""
    if not model.config.value("num_classes"):
        return []
    from npresnet.model.prediction import Prediction

    top = Prediction(model(batch)[0], model.labels, 3, scores=model.config.value("scores", "softmax")).top
    return [(visible(candidate.label), candidate.score) for candidate in top]


def labels_of(operations: Iterable[str]) -> dict[str, str]:
    """{operation or activation: its label}, for a page that shows these."""
    return {name: OPERATIONS[name].label for name in sorted(set(operations))}
