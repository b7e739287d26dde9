"""Family: the interface of a module in `families/`, and how a network is assembled from it.

Such a module is the only description of its networks: what their tensors look like (`signature`), what can be read from
them (`read`), and the topology (`build`).
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
    """What a family reads from a file.

    decisions  in the order of model.config: "arch" (the network's name) and "family" first, "preprocess" and "labels"
               (suggestions) last. The caller may override those that are OPTIONS
    sizes      further arguments of `build` that only the file determines: widths of single layers, names of modules
    """

    decisions: dict[str, Decision]
    sizes: dict[str, Any]


class Family(Protocol):
    """The interface of a module in `families/`.

    NAME     as `family` in model.config
    ARCHS    the named architectures, {name: the options that the name fixes}, in the order of `list_archs`
    OPTIONS  {name: Option}: the caller's options for these networks, in addition to `options.COMMON`

    A family whose names depend on options that tensors do not determine also has `name_of(decisions) -> str`; one whose
    decisions depend on what was given, `adjusted(decisions, given) -> decisions`.
    """

    NAME: str
    ARCHS: Mapping[str, Options]
    OPTIONS: Mapping[str, Option]

    def named(self, name: str, /) -> Options | None:
        """The options of a name, listed or not; {} for a name of any network of the family, None if unknown."""

    def signature(self, tensors: Tensors, /) -> bool:
        """Whether these tensors look like this family; never raises."""

    def read(self, tensors: Tensors, /) -> Reading:
        """What the tensors determine. Raises ArchitectureError where they are not a valid network."""

    def build(self, builder: Builder, options: Options, /) -> Mapping[str, str]:
        """Add all layers with the builder; returns {output: node}.

        The options are those of `read`, overridden by the caller's; or those of a name, `in_channels` and the caller's,
        with the family's defaults for the others.
        """


def assemble(family: Family, source: Source, options: Options) -> Network:
    """The network of `family` with these options and the tensors of `source`.

    Raises ArchitectureError where options contradict each other, and where a tensor is missing, is unused, or has not
    the shape that its layer expects.
    """
    builder = Builder(source, in_channels=options["in_channels"])
    outputs = family.build(builder, options)
    return builder.network(outputs)


def fits(options: Options, decisions: Mapping[str, Decision]) -> bool:
    """Whether a network with these decisions has these options; undecided options are ignored."""
    return all(decisions[name].value == value for name, value in options.items() if name in decisions)


def name_in(archs: Mapping[str, Options], decisions: Mapping[str, Decision]) -> str | None:
    """The first name in the table whose options match the decisions."""
    return next((name for name, options in archs.items() if fits(options, decisions)), None)
