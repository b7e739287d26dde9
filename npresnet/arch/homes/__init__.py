"""Names of other homes, as tables of patterns. A new home is a table, and a place in `selection.HOMES`.

torchvision   the names that are ours
tasks         networks saved with the heads of another task
foreign       networks that are not supported, and how their names give them away

Patterns are regular expressions that are searched in tensors' names.
"""

# No `from __future__ import annotations`: a NamedTuple would compile annotations that are strings, which slows a start.

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Home(NamedTuple):
    """Where networks of ours are saved under other names, or together with what is no part of them.

    found_by  a pattern: a file with such a name comes from this home
    ndim      how many axes one of those tensors must have, where names alone would mislead; None for any
    renamed   (pattern, replacement) pairs, as `re.sub` takes them, applied in order: their names -> torchvision's
    left_out  a pattern (of the names after that): these tensors are no part of the network
    note      what they are, for model.config
    implied   {option: value} that follow where the file has a name that fits `where`, for the reason `because`
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
    """Networks that npresnet does not build, and what gives them away.

    network  what they are called
    pattern  a file with such a name holds such a network
    ndim     how many axes that tensor must have; None for any
    beside   a pattern that another name of the file must fit, "" for none
    unless   a pattern that no name of the file may fit, "" for none
    advice   the way out, where there is a better one than to name what is supported
    """

    network: str
    pattern: str
    ndim: int | None = None
    beside: str = ""
    unless: str = ""
    advice: str = ""

    @property
    def by_name_alone(self) -> bool:
        """Whether one name is enough. Such patterns fit none of torchvision's names (see `torchvision.PLAIN`)."""
        return self.ndim is None and not self.unless
