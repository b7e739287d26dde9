"""Names of other homes, as tables of patterns. A new home is a table, and an entry in `selection.HOMES`.

torchvision   its names are ours
tasks         networks saved with the heads of another task
foreign       networks that are not supported, and the names that identify them

Patterns are regular expressions, matched by `re.search` in tensors' names.
"""

# No `from __future__ import annotations`: a NamedTuple would compile annotations that are strings, which slows a start.

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Home(NamedTuple):
    """A home that saves supported networks under other names, or together with other tensors.

    found_by  a pattern: a file with a matching name is from this home
    ndim      the number of axes that one of those tensors must have, where names are ambiguous; None for any
    renamed   (pattern, replacement) pairs for `re.sub`, applied in order: its names -> torchvision's
    left_out  a pattern for renamed tensors that are not part of the network
    note      what those are, for model.config
    implied   {option: value} where the file has a name that matches `where`, with the reason `because`
    """

    found_by: str
    ndim: int | None = None
    renamed: tuple[tuple[str, str], ...] = ()
    left_out: str = ""
    note: str = ""
    implied: Mapping[str, Any] = MappingProxyType({})
    where: str = ""
    because: str = ""


class Foreign(NamedTuple):
    """An unsupported kind of network, and how it is identified.

    network  its name in errors
    pattern  a file with a matching name contains such a network
    ndim     the number of axes of that tensor; None for any
    beside   a pattern that another name of the file must match, "" for none
    unless   a pattern that no name of the file may match, "" for none
    advice   the remedy, where there is a better one than the list of supported networks
    """

    network: str
    pattern: str
    ndim: int | None = None
    beside: str = ""
    unless: str = ""
    advice: str = ""

    @property
    def by_name_alone(self) -> bool:
        """Whether one name is enough. Such patterns match none of torchvision's names (see `torchvision.PLAIN`)."""
        return self.ndim is None and not self.unless
