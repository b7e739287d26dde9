"""What a pickle names but npresnet never imports or calls: Global, Inert, Cell.

A pickle may name any class or function of any module ("globals"), ask to call them, and hand the results state. None
of that happens here. A global becomes a Global (two texts); a call becomes an Inert that remembers what was to be
called, with which arguments and state, and otherwise does nothing. What npresnet needs to understand (OrderedDict, the
functions that rebuild tensors and arrays) has meanings of its own, see torch_globals.py and numpy_globals.py.
"""

from __future__ import annotations

from npresnet.weights.source import shown
from npresnet.weights.tensor import Tensor, Unreadable


class Global:
    """A name such as `argparse Namespace`; never looked up."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str):
        self.module = module
        self.name = name

    def __repr__(self) -> str:
        return shown(f"{self.module}.{self.name}")


class Built:
    """An object that a pickle's BUILD hands a state."""

    __slots__ = ()

    def build(self, state: object) -> None:
        raise NotImplementedError


class Inert(Built):
    """A call that was never made: what(*args), then its state, and what was put into it as a dict or a list."""

    __slots__ = ("args", "elements", "items", "state", "what")

    def __init__(self, what: object, args: object = ()):
        self.what = what
        self.args = args
        self.state: object = None
        self.items: dict[object, object] = {}
        self.elements: list[object] = []

    def build(self, state: object) -> None:
        self.state = state

    def __repr__(self) -> str:
        what = self.args[0] if self._is_reconstructed() and isinstance(self.args, tuple) else self.what
        return repr(what) if isinstance(what, Global) else "an object"

    def _is_reconstructed(self) -> bool:
        """Protocols 0 and 1 make objects through copyreg._reconstructor(cls, base, state)."""
        return isinstance(self.what, Global) and self.what.name == "_reconstructor" and bool(self.args)


class Cell(Built):
    """Something that becomes a tensor once its state arrives: an ndarray, a Parameter."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor | Unreadable | None = None):
        self.tensor = tensor

    def build(self, state: object) -> None:
        """By default a state changes nothing."""


class Opaque:
    """A dict key that is no plain value, compared by identity: hashing a nested one could recurse without end."""

    __slots__ = ("value",)

    def __init__(self, value: object):
        self.value = value


def as_tensor(value: object) -> Tensor | Unreadable | None:
    """The tensor that a value of a pickle stands for, if it stands for one."""
    if isinstance(value, Cell):
        return value.tensor
    return value if isinstance(value, (Tensor, Unreadable)) else None


def as_mapping(value: object) -> dict[object, object] | None:
    """A dict, or what was put into an object of an unknown dict class; otherwise None."""
    if isinstance(value, Inert):
        return value.items or None
    return value if isinstance(value, dict) else None


def describe(value: object) -> str:
    """One short line about any value of a pickle; never walks into it."""
    tensor = as_tensor(value)
    if isinstance(tensor, Tensor):
        return f"{tensor.dtype} tensor {shown(tensor.shape)}"
    if isinstance(tensor, Unreadable):
        return tensor.kind
    if isinstance(value, (str, bytes)):
        return shown(repr(value[:100]), 60)
    if value is None or isinstance(value, (bool, int, float)):
        return shown(value, 60)
    if isinstance(value, (dict, list, tuple)):
        return f"{type(value).__name__} of {len(value)}"
    return f"{value!r}, kept inert" if isinstance(value, (Inert, Global)) else "kept inert"
