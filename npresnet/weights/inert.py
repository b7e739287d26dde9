"""Global, Inert, Cell: placeholders for the classes and functions that a pickle names; nothing is imported or called.

A pickle may name any class or function of any module (a "global"), call it, and pass state to the result. Here a global
becomes a Global (two strings), and a call becomes an Inert that records callee, arguments and state. The globals that
npresnet needs (OrderedDict, functions that rebuild tensors and arrays) have handlers, see torch_globals.py and
numpy_globals.py.
"""

from __future__ import annotations

from npresnet.weights.source import shown
from npresnet.weights.tensor import Tensor, Unreadable


class Global:
    """A module and a name in it, such as argparse and Namespace; never looked up."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str):
        self.module = module
        self.name = name

    def __repr__(self) -> str:
        return shown(f"{self.module}.{self.name}")


class Built:
    """An object that accepts the state of a pickle's BUILD opcode."""

    __slots__ = ()

    def build(self, state: object) -> None:
        raise NotImplementedError


class Inert(Built):
    """A recorded call what(*args) that is never made, with its state, dict items and list elements."""

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
        """Protocols 0 and 1 create objects by copyreg._reconstructor(cls, base, state)."""
        return isinstance(self.what, Global) and self.what.name == "_reconstructor" and bool(self.args)


class Cell(Built):
    """An ndarray or Parameter under construction; `tensor` is set by its state."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor | Unreadable | None = None):
        self.tensor = tensor

    def build(self, state: object) -> None:
        """Ignore the state."""


class Opaque:
    """A dict key that is not a plain value; compared by identity, because hashing a nested one could recurse."""

    __slots__ = ("value",)

    def __init__(self, value: object):
        self.value = value


def as_tensor(value: object) -> Tensor | Unreadable | None:
    """The tensor that an unpickled value represents, or None."""
    if isinstance(value, Cell):
        return value.tensor
    return value if isinstance(value, (Tensor, Unreadable)) else None


def as_mapping(value: object) -> dict[object, object] | None:
    """A dict, or the items of an object of an unknown dict class; otherwise None."""
    if isinstance(value, Inert):
        return value.items or None
    return value if isinstance(value, dict) else None


def describe(value: object) -> str:
    """One short line about any unpickled value; does not recurse."""
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
