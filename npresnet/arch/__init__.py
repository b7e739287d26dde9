"""Checkpoint keys, shapes and options -> a Network and the decisions behind it.

registry    build: select -> recognise -> read -> settle options -> assemble; refusals where that fails
homes       other homes' names, and tensors beside a network, as tables
selection   applies them: which tensors are the network, and under which names
families    one file a family: its tensors' signature, what is read from them, how it is built
family      the interface of such a file
residual    shared by residual networks: description, reading, topology, attention, kinds of blocks
head        the classifier: found in a file, and built
stages, standardised, clips, suggestions    shared by families of pre-activation networks, and of networks for clips
builder     adds layers and requests each tensor from a source by name and full shape (source)
tensors, initialiser               the two sources: a file, and random numbers
options, names                     the caller's options; names of architectures
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from npresnet.arch.names import is_arch, is_option, list_archs, list_options, options_of
from npresnet.arch.registry import build

if TYPE_CHECKING:
    from npresnet.arch.initialiser import random_tensors

    OPTIONS: tuple[str, ...]

__all__ = ["OPTIONS", "build", "is_arch", "is_option", "list_archs", "options_of", "random_tensors"]


def __getattr__(name: str) -> Any:
    if name == "OPTIONS":  # of all families, which need not be imported to load a file
        return tuple(list_options())
    if name != "random_tensors":  # imported lazily, too
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.initialiser").random_tensors
