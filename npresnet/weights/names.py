"""torchvision's published ImageNet weights: their names, files and hashes.

The suffix of each file's name is the start of its SHA-256. V1 is torchvision's original training, V2 its newer recipe;
names without a version mean the newest, like torchvision's DEFAULT.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

BASE_URL = "https://download.pytorch.org/models"
BASE_URL_VARIABLE = "NPRESNET_WEIGHTS_URL"  # a mirror

# arch -> (hash of V1, hash of V2 if there is one)
_HASHES: dict[str, tuple[str, ...]] = {
    "resnet18": ("f37072fd",),
    "resnet34": ("b627a593",),
    "resnet50": ("0676ba61", "11ad3fa6"),
    "resnet101": ("63fe2227", "cd907fc2"),
    "resnet152": ("394f9c45", "f82ba261"),
    "resnext50_32x4d": ("7cdf4587", "1a0047aa"),
    "resnext101_32x8d": ("8ba56ff5", "110c445d"),
    "resnext101_64x4d": ("173b62eb",),
    "wide_resnet50_2": ("95faca4d", "9ba9bcbe"),
    "wide_resnet101_2": ("32ee1156", "d733dc28"),
}
_OLD_NAMES = {  # the same V1 weights under the names of their older tar and protocol 1001 files
    "resnet18-5c106cde": "resnet18",
    "resnet34-333f7ec4": "resnet34",
    "resnet50-19c8e357": "resnet50",
    "resnet101-5d3b4d8f": "resnet101",
    "resnet152-b121ed2d": "resnet152",
}
# The ResNets for CIFAR-10 of github.com/akamaster/pytorch_resnet_cifar10, under their authors' names. They cannot be
# downloaded by name; a file of that name is known to be what it looks like.
AKAMASTER = (
    "resnet20-12fca82f",
    "resnet32-d509ac18",
    "resnet44-014dd654",
    "resnet56-4bfd9763",
    "resnet110-1d1ed7c2",
    "resnet1202-f3b1deed",
)
_RESIZED_AS_V2 = ("resnext101_64x4d.IMAGENET1K_V1",)  # of the V1 weights, the only ones resized to 232


@dataclass(frozen=True)
class Weights:
    """A published weight file.

    name    "resnet50.IMAGENET1K_V2"
    file    "resnet50-11ad3fa6.pth"
    preset  preprocessing of the training: "V1" or "V2"
    """

    name: str
    arch: str
    file: str
    sha256_prefix: str
    preset: str

    @property
    def url(self) -> str:
        """Address at torchvision's server, or at the mirror set by NPRESNET_WEIGHTS_URL."""
        return f"{(os.environ.get(BASE_URL_VARIABLE) or BASE_URL).rstrip('/')}/{self.file}"


def _weights(arch: str, version: int, sha256_prefix: str) -> Weights:
    name = f"{arch}.IMAGENET1K_V{version}"
    preset = "V2" if version == 2 or name in _RESIZED_AS_V2 else "V1"
    return Weights(name, arch, f"{arch}-{sha256_prefix}.pth", sha256_prefix, preset)


ALL = tuple(
    _weights(arch, version, sha256_prefix)
    for arch, hashes in _HASHES.items()
    for version, sha256_prefix in enumerate(hashes, start=1)
)


def resolve(name: str) -> Weights | None:
    """The weights called `name`; None for an unknown name.

    Names are resnet50 (the newest), resnet50.IMAGENET1K_V1, ResNet50_Weights.IMAGENET1K_V2 or .DEFAULT, resnet50.V2,
    and file names, old ones included, with or without .pth: resnet50-0676ba61, resnet50-19c8e357. Case is ignored.
    """
    return _names().get(name.strip().lower().replace("_weights.", "."))


def _names() -> dict[str, Weights]:
    names: dict[str, Weights] = {}
    for weights in ALL:  # V1 before V2: the plain name maps to the newest
        stem = weights.file.removesuffix(".pth")
        version = weights.name[-2:].lower()
        for alias in (weights.arch, f"{weights.arch}.default", f"{weights.arch}.{version}", weights.name.lower(), stem):
            names[alias] = weights
        names[weights.file] = weights
    for old, arch in _OLD_NAMES.items():
        names[old] = names[f"{old}.pth"] = names[f"{arch}.v1"]
    return names
