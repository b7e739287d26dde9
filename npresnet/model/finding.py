"""Which weight file a path or a name means, and what its name tells."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from npresnet import arch as architectures
from npresnet import weights
from npresnet.errors import CheckpointError
from npresnet.model.inputs import path_text
from npresnet.system.foreign import named
from npresnet.system.text import visible

if TYPE_CHECKING:
    from npresnet.weights.names import Weights

DEMO = Path(__file__).parent.parent / "data" / "cifar10-resnet20.npz"
DEMO_NAMES = ("demo", "cifar10-resnet20")
SUFFIXES = (".npz", ".pth", ".pt", ".th", ".pkl", ".safetensors", ".bin", ".ckpt", ".tar")

StrPath = str | os.PathLike[str]


def find_source(source: weights.Readable) -> weights.Readable:
    """What `weights.read` reads: a path, as `find_file` gives it, or weights in memory. Raises CheckpointError."""
    path = weights.path_of(source)
    if path is None and weights.is_in_memory(source):
        return source
    if path is None and not isinstance(source, (str, os.PathLike)):
        got = named(source) or type(source).__name__
        raise CheckpointError(
            "expected a weight file's path or bytes, a binary file object, {name: array}, or a name such as resnet18; "
            f"got {got}"
        )
    return find_file(path or source)


def find_file(source: object) -> str:
    """The path of the weight file given by a path or a name, downloaded if necessary. Raises CheckpointError."""
    text = path_text(source)
    if holds_weights(text):
        return text
    if text in DEMO_NAMES:
        return str(DEMO)
    if published(text) is not None:
        return str(weights.download.fetch(text))
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) and not os.path.lexists(text):
        raise CheckpointError(
            f"{visible(text)} is a URL, not a file; download it first, and pass its path or its bytes"
        )
    if looks_like_file(text):
        return text  # the reader raises the error
    raise CheckpointError(_unknown_name(text))


def published(name: str) -> Weights | None:
    """torchvision's weights of that name, or None."""
    return weights.download.resolve(name)  # imported on access, not needed for files


def holds_weights(text: str) -> bool:
    """Whether this is a file, or a folder with a weight file in it."""
    return os.path.isfile(text) or (os.path.isdir(text) and weights.find_in_folder(text) is not None)


def looks_like_file(text: str) -> bool:
    return os.path.lexists(text) or bool(os.path.dirname(text)) or text.lower().endswith(SUFFIXES)


def published_file(path: str) -> Weights | None:
    """torchvision's weights by the file's name, which contains a hash that identifies the training; None for others."""
    name = Path(path).stem
    return published(name) if re.search(r"-[0-9a-f]{8}$", name) else None


def akamaster_s(path: str) -> str | None:
    """The name of akamaster's ResNets for CIFAR-10, whose shortcuts no tensor tells; None for other files."""
    name = Path(path).stem
    return name if re.search(r"-[0-9a-f]{8}$", name) and name in weights.download.AKAMASTER else None


def _unknown_name(text: str) -> str:
    close = _alike(text)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    if text in architectures.list_archs():
        hint = f" It is an architecture without published weights: npresnet.build({text!r}) creates random ones."
    return (
        f"{text!r} is neither an existing file nor the name of weights that npresnet can download.{hint} Pass a weight "
        f"file (.npz, .pth, .pt, .safetensors, ...), a name such as resnet18 or resnet50.IMAGENET1K_V2, or demo"
    )


def _alike(text: str) -> list[str]:
    """Names like this one of what can be loaded: published weights, the demo, files in the same folder."""
    import difflib

    from npresnet.weights.names import ALL

    known = [*DEMO_NAMES, *dict.fromkeys(weights.arch for weights in ALL), *(weights.name for weights in ALL)]
    with suppress(OSError, ValueError):
        known += [name for name in os.listdir(os.path.dirname(text) or ".")[:10_000] if name.lower().endswith(SUFFIXES)]
    names = {name.lower(): name for name in reversed(known)}
    begun = [name for name in names if len(text) > 3 and name.startswith(text.lower())]
    close = [*sorted(begun, key=len)[:1], *difflib.get_close_matches(text.lower(), names, n=3)]
    return [visible(names[name]) for name in dict.fromkeys(close)]
