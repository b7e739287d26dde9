"""The exceptions raised by npresnet, and its warning.

    NpresnetError
    ├── CheckpointError (ValueError)     a weight file is unreadable, truncated, hostile or of an unknown format
    ├── ArchitectureError (ValueError)   the tensors are not a supported ResNet; or an unknown name or option
    ├── ShapeError (ValueError)          an array has the wrong shape, number of axes or dtype
    ├── ImageError (ValueError)          an image cannot be read or used
    └── DeviceError (RuntimeError)       a device is missing, too small or failed; a package is missing

    AmbiguityWarning (UserWarning)       what the weight file cannot tell was assumed, and an option would settle it

A message is one short paragraph: the file or layer, both shapes with their axes, the violated rule, and the way out. It
has at most MAX_MESSAGE characters, whatever names, shapes or labels it quotes: what is longer loses its middle.
"""

from __future__ import annotations

MAX_MESSAGE = 1000  # characters
_TAIL = 400  # of them at the end, where the way out stands


def shortened(message: str, limit: int = MAX_MESSAGE) -> str:
    """A message of at most `limit` characters: the beginning, how much was left out, and the end."""
    if len(message) <= limit:
        return message
    left_out = f" [... {len(message) - limit:,} characters left out ...] "
    tail = min(_TAIL, limit // 2)
    return message[: limit - tail - len(left_out)] + left_out + message[-tail:]


class NpresnetError(Exception):
    """Base class of all exceptions raised by npresnet."""

    def __init__(self, *arguments: object):
        super().__init__(*(shortened(text) if isinstance(text, str) else text for text in arguments))


class CheckpointError(NpresnetError, ValueError):
    """A weight file cannot be read, or is refused."""


class ArchitectureError(NpresnetError, ValueError):
    """The tensors are not a supported ResNet, or contradict an option."""


class ShapeError(NpresnetError, ValueError):
    """An array has the wrong shape, number of axes or dtype."""


class ImageError(NpresnetError, ValueError):
    """An image cannot be read, or holds invalid values."""


class DeviceError(NpresnetError, RuntimeError):
    """What the machine lacks: a device is missing, too small, or failed; or a package is not installed."""


class AmbiguityWarning(UserWarning):
    """A weight file fits several networks in real use; the message says which is assumed and what settles it.

    Attributes
    ----------
    for_shells : str
        The same message with the options as arguments of the command line.
    """

    for_shells = ""

    def __init__(self, *arguments: object):
        super().__init__(*(shortened(text) if isinstance(text, str) else text for text in arguments))
