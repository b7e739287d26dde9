"""Preprocess: the preprocessing of images, and its presets by name."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from npresnet.errors import ArchitectureError

Size = int | tuple[int, int]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DETECTRON_MEAN = (102.9801 / 255, 115.9465 / 255, 122.7717 / 255)  # blue, green, red
KINETICS_MEAN = (0.43216, 0.394666, 0.37645)
KINETICS_STD = (0.22803, 0.22145, 0.216989)

# Far beyond any network's input; bounds the memory that settings from an untrusted file can request.
MAX_SIDE = 8192

# Pillow's filters by torchvision's names. On a PIL image both kinds of nearest are identical.
INTERPOLATIONS = ("nearest", "nearest-exact", "bilinear", "bicubic", "box", "hamming", "lanczos")


@dataclass(frozen=True)
class Preprocess:
    """Resize, crop, scale to 0..1, order the channels, then x[c] = (x[c] - mean[c]) / std[c].

    Attributes
    ----------
    resize : int, tuple or None
        Length of the short side, keeping the aspect ratio; or (height, width); None: no resizing.
    crop : int, tuple or None
        Side of the central square, or (height, width); padded with black; None: no cropping.
    mean : tuple of float
        One number per channel, for pixels in 0..1: three for RGB, one for grey networks; with bgr in the order blue,
        green, red.
    std : tuple of float
        Likewise.
    interpolation : str
        bilinear, bicubic, nearest, nearest-exact, box, hamming or lanczos.
    exif : bool
        Apply the EXIF orientation; torchvision does not.
    antialias : bool
        Whether resizing averages over all pixels, as Pillow does; False takes the two neighbours along each axis
        (bilinear only), as torchvision's presets for video do.
    bgr : bool
        The order of the channels, also of mean and std, is blue, green, red.
    draft : bool
        Let JPEG files be decoded at 1/2, 1/4 or 1/8 of their size where that is at least three times what
        `resize` needs: faster for photos, close to torchvision's result and not equal to it.

    Raises
    ------
    ArchitectureError
        Invalid values.

    Notes
    -----
    Source: torchvision.transforms.{Resize, CenterCrop, ToTensor, Normalize}.

    Examples
    --------
    >>> npresnet.Preprocess(resize=232).name
    'V2'
    """

    resize: Size | None = 256
    crop: Size | None = 224
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bilinear"
    exif: bool = False
    antialias: bool = True
    bgr: bool = False
    draft: bool = False

    def __post_init__(self) -> None:
        checked = {
            "resize": _size("resize", self.resize),
            "crop": _size("crop", self.crop),
            "mean": _numbers("mean", self.mean),
            "std": _numbers("std", self.std),
            "interpolation": _interpolation(self.interpolation),
            "exif": _flag("exif", self.exif),
            "antialias": _flag("antialias", self.antialias),
            "bgr": _flag("bgr", self.bgr),
            "draft": _flag("draft", self.draft),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        _check_channels(self.mean, self.std, bgr=self.bgr)
        if not self.antialias and self.interpolation != "bilinear":
            raise ArchitectureError(f"antialias=False needs interpolation='bilinear', got {self.interpolation!r}")
        if self.draft and (not self.antialias or self.interpolation.startswith("nearest")):
            raise ArchitectureError(
                "draft=True takes averages of pixels, and this preprocessing single ones: it needs antialias=True and "
                f"another interpolation than nearest, got antialias={self.antialias}, {self.interpolation!r}"
            )

    @property
    def channels(self) -> int:
        """3 for RGB, 1 for grey."""
        return len(self.mean)

    @property
    def name(self) -> str | None:
        """The name of the equal preset, or None."""
        return next((name for name, known in PRESETS.items() if known == self), None)

    def evolve(self, **changes: Any) -> Preprocess:
        """A copy with some fields changed. A change of bgr alone turns mean and std as well: they belong to colours."""
        return self._changed(changes)

    def _changed(self, changes: Mapping[Any, Any]) -> Preprocess:
        kept = self.to_dict()
        if "bgr" in changes and _flag("bgr", changes["bgr"]) != self.bgr:
            kept |= {name: kept[name][::-1] for name in ("mean", "std")}
        return Preprocess.from_dict({**kept, **changes})

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types; the inverse of `from_dict`."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocess:
        """A Preprocess from a dict; missing fields are those of V1, in the order of `bgr`. Raises ArchitectureError."""
        known = [field.name for field in fields(cls)]
        unknown = [str(name) for name in values if name not in known]
        if unknown:
            raise ArchitectureError(
                f"preprocess has no option {', '.join(map(repr, unknown))}; it has {', '.join(known)}"
            )
        if values.get("bgr") is True:
            values = {"mean": IMAGENET_MEAN[::-1], "std": IMAGENET_STD[::-1], **values}
        return cls(**values)

    def __str__(self) -> str:
        steps = [
            "" if self.resize is None else f"resize {_text(self.resize)} {self.interpolation}",
            "" if self.crop is None else f"crop {_text(self.crop)}",
            f"mean {_text(self.mean)}",
            f"std {_text(self.std)}",
            "turned by EXIF" if self.exif else "",
            "" if self.antialias else "not antialiased",
            "channels BGR" if self.bgr else "",
            "JPEG scaled while decoding" if self.draft else "",
        ]
        text = ", ".join(step for step in steps if step)
        return f"{self.name}: {text}" if self.name else text


def _size(name: str, value: Any) -> Size | None:
    """None, an integer in 1..MAX_SIDE, or a pair (height, width) of these."""
    if value is None:
        return None
    sides = _integers(value) if isinstance(value, (list, tuple)) else _integers((value,))
    if sides is None or len(sides) not in (1, 2) or min(sides) < 1 or max(sides) > MAX_SIDE:
        raise ArchitectureError(
            f"{name} is {value!r}; expected an integer in 1..{MAX_SIDE} (pixels), (height, width), or None to skip it"
        )
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def _integers(values: Any) -> tuple[int, ...] | None:
    if any(isinstance(value, (bool, np.bool_)) for value in values):
        return None
    try:
        return tuple(operator.index(value) for value in values)
    except TypeError:
        return None


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        raise ArchitectureError(
            f"{name} is {values!r}; expected one number per channel, such as {IMAGENET_MEAN}"
        ) from None
    if not np.isfinite(numbers).all():
        raise ArchitectureError(f"{name} is {values!r}; its numbers must be finite")
    return numbers


def _interpolation(value: Any) -> str:
    name = str(getattr(value, "value", value)).lower()  # .value: torchvision's InterpolationMode
    if name not in INTERPOLATIONS:
        raise ArchitectureError(f"unknown interpolation {value!r}; expected one of {', '.join(INTERPOLATIONS)}")
    return name


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise ArchitectureError(f"{name} is {value!r}; expected True or False")
    return bool(value)


def _check_channels(mean: tuple[float, ...], std: tuple[float, ...], *, bgr: bool) -> None:
    if len(mean) != len(std) or len(mean) not in (1, 3):
        raise ArchitectureError(
            f"mean has {len(mean)} numbers and std {len(std)}; both need 3 for RGB images or 1 for grey ones. "
            "For other numbers of channels, pass an array to model(x)"
        )
    if float(np.float32(min(std))) <= 0:
        raise ArchitectureError(f"std is {std}; pixels are divided by it, so each number must be above 0")
    if bgr and len(mean) != 3:
        raise ArchitectureError("bgr is about images of three channels, and mean has one number: a grey network's")


def _text(value: Any) -> str:
    return "x".join(map(str, value)) if _is_pair(value) else str(value)


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(number, int) for number in value)


# "cifar10" uses ImageNet's mean and standard deviation because its networks were trained with them. "kinetics" is
# torchvision's for video, "kinetics-hara" that of kenshohara's 3-D ResNets, "detect-and-track" that of its repository.
PRESETS: dict[str, Preprocess] = {
    "V1": Preprocess(resize=256, crop=224),
    "V2": Preprocess(resize=232, crop=224),
    "cifar10": Preprocess(resize=32, crop=32),
    "kinetics": Preprocess((128, 171), 112, KINETICS_MEAN, KINETICS_STD, antialias=False),
    "detect-and-track": Preprocess(256, None, DETECTRON_MEAN, (1 / 255,) * 3, antialias=False, bgr=True),
    "kinetics-hara": Preprocess(112, 112, (0.4345, 0.4051, 0.3775), (0.2768, 0.2713, 0.2737)),
}
_ALIASES = {"imagenet1k_v1": "V1", "imagenet": "V1", "imagenet1k_v2": "V2", "cifar": "cifar10"}


def preset(value: str | Mapping[str, Any] | Preprocess) -> Preprocess:
    """The Preprocess given by a name, a dict of its fields, or a Preprocess.

    value  "V1" (short side 256, crop 224), "V2" (232, 224), "cifar10" (32, 32), "kinetics",
           "kinetics-hara" and "detect-and-track" (clips), ignoring case; torchvision's names of
           weights ("IMAGENET1K_V1", "IMAGENET1K_V2"); or a dict of fields, whose "preset" is the base instead of V1:
           {"preset": "V2", "exif": True}

    Raises ArchitectureError that lists the valid values.
    """
    if isinstance(value, Preprocess):
        return value
    if isinstance(value, Mapping):
        changes = dict(value)
        return preset(changes.pop("preset", "V1"))._changed(changes)
    if isinstance(value, str):
        wanted = _ALIASES.get(value.strip().lower(), value.strip()).lower()
        for name, known in PRESETS.items():
            if name.lower() == wanted:
                return known
    raise ArchitectureError(
        f"unknown preprocessing {value!r}; expected {', '.join(PRESETS)}, a dict of "
        f"{', '.join(field.name for field in fields(Preprocess))}, or an npresnet.images.Preprocess"
    )
