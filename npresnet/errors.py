"""Every error that npresnet raises on purpose.

    NpresnetError
    ├── CheckpointError (ValueError)     the bytes of a weight file: unreadable, cut off, hostile, foreign
    ├── ArchitectureError (ValueError)   readable tensors, but no ResNet that we know; or an unknown name or option
    ├── ShapeError (ValueError)          an array has the wrong shape, number of axes or dtype
    ├── ImageError (ValueError)          an image cannot be read or used
    └── DeviceError (RuntimeError)       a device is absent, too small or broken

A message is one short paragraph: the file or layer, both shapes with their axes, the rule that broke, and the way out.
"""

from __future__ import annotations


class NpresnetError(Exception):
    """The root: `except npresnet.NpresnetError` catches all that npresnet raises on purpose."""


class CheckpointError(NpresnetError, ValueError):
    """A weight file cannot be read, or must not be."""


class ArchitectureError(NpresnetError, ValueError):
    """The tensors are no ResNet that npresnet knows, or an option does not fit them."""


class ShapeError(NpresnetError, ValueError):
    """An array's shape, number of axes or dtype does not fit."""


class ImageError(NpresnetError, ValueError):
    """An image cannot be read, or holds values that are no picture."""


class DeviceError(NpresnetError, RuntimeError):
    """A device is absent, too small, or failed."""
