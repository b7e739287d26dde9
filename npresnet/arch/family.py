"""Family: what a module of `families/` provides, and how a network is put together from it.

Such a module is the only description of its networks: how their tensors look (`signature`), what can be read off them
(`read`), and the topology, once (`build`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from npresnet.arch.builder import Builder
from npresnet.arch.options import Option
from npresnet.arch.source import Source
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision
from npresnet.network import Network

Options = Mapping[str, Any]


class Reading(NamedTuple):
    """What a family reads off a file.

    decisions  in the order of model.config: "arch" (the name the network deserves) and "family" first, "preprocess" and
               "labels" (suggestions) last. Those that are OPTIONS may be settled by the caller
    sizes      what `build` needs beside them and only the file knows: widths of single layers, names of modules
    """

    decisions: dict[str, Decision]
    sizes: dict[str, Any]


class Family(Protocol):
    """The interface of a module in `families/`.

    NAME     as `family` in model.config
    ARCHS    the named architectures, {name: the options that the name fixes}, in the order of `list_archs`
    OPTIONS  {name: Option}: what the caller may say about these networks, beside `options.COMMON`
    """

    NAME: str
    ARCHS: Mapping[str, Options]
    OPTIONS: Mapping[str, Option]

    def named(self, name: str, /) -> Options | None:
        """The options behind a name, listed or not; {} for a name of any network of the family, None for no such."""

    def signature(self, tensors: Tensors, /) -> bool:
        """Whether these tensors look like this family; never raises."""

    def read(self, tensors: Tensors, /) -> Reading:
        """What the tensors say about themselves. Raises ArchitectureError where they make no network."""

    def build(self, builder: Builder, options: Options, /) -> Mapping[str, str]:
        """Ask the builder for one layer after another; returns {output: node}.

        The options are those of `read`, settled by the caller; or those behind a name, `in_channels` and what the
        caller says: then the family knows what is usual for the others.
        """


def assemble(family: Family, source: Source, options: Options) -> Network:
    """The network of `family` with these options and the tensors of `source`.

    Raises ArchitectureError where options contradict each other, and where a tensor is missing, has another shape than
    its layer expects, or is left over.
    """
    builder = Builder(source, in_channels=options["in_channels"])
    outputs = family.build(builder, options)
    return builder.network(outputs)


def fits(options: Options, decisions: Mapping[str, Decision]) -> bool:
    """Whether a network with these decisions has these options; what was not decided does not count."""
    return all(decisions[name].value == value for name, value in options.items() if name in decisions)


def name_in(archs: Mapping[str, Options], decisions: Mapping[str, Decision]) -> str | None:
    """The first name in the table whose options the decisions have."""
    return next((name for name, options in archs.items() if fits(options, decisions)), None)
