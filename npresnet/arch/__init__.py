"""Which network is it? Checkpoint keys, shapes and options become a Network and the decisions behind it.

registry    build: select -> refuse what is foreign -> recognise -> read -> settle options -> put together
homes       other homes' names, as tables; selection applies them: prefixes, renaming, heads of other tasks, refusals
families    one file a family: how its tensors look, what is read off them, how it is built
reading, layout, residual, head    what residual networks share: what is read, the options, the topology, the classifier
builder     the layers, one after another; it asks a source for each tensor by name and whole shape (source)
tensors, initialiser               the two sources: a file, and random numbers
options, names                     what the caller may say; names of architectures
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from npresnet.arch.names import list_archs, list_options
from npresnet.arch.registry import build

if TYPE_CHECKING:
    from npresnet.arch.initialiser import random_tensors

OPTIONS = tuple(list_options())

__all__ = ["OPTIONS", "build", "list_archs", "random_tensors"]


def __getattr__(name: str) -> Any:
    if name != "random_tensors":  # which loading a file does not need
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.initialiser").random_tensors
