"""Home and Foreign: the rows of these tables."""

# No `from __future__ import annotations`: a NamedTuple would compile annotations that are strings, which slows a start.

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import re

Replacement = Callable[["re.Match[str]"], str]


class Home(NamedTuple):
    """A home that saves supported networks under other names, or together with other tensors.

    found_by      a pattern: a file with a matching name is from this home
    ndim          the number of axes that one of those tensors, or one with the first of the marks, must have, where
                  names are ambiguous; None for any
    least_side    and its kernel's least height: a 1x1 convolution may be a classifier like a linear layer
    beside        a pattern that another name must match, "" for none
    renamed       (pattern, replacement) pairs for `re.sub`, applied in order: its names -> torchvision's; a function
                  where numbers are counted from 1
    left_out      a pattern for renamed tensors that are not part of the network
    note          what those are, for model.config
    counts        these are counters: a floating-point number of such a name is a weight, and stays
    pixelwise     these classify pixels: with a matrix among them they classify images, and stay
    closes        a pattern for those that lead back to the width they begin with; where they do not, all stay
    read_by       where a classifier beside them reads as many features as they give, it is "refused", as it may stand
                  after them; "ambiguous" where it usually reads the body; "nothing" where that is certain
    implied       {option: value}, with the reason `because`, where a name matches `where` and none `unless`
    where         a pattern for renamed tensors
    unless        a pattern that no renamed tensor may match
    because       the reason
    alternatives  {option: other values in use, as the caller would write them}: these options are ambiguous
    stem_side     what follows counts only for a first convolution of this side; None for any
    home          its name, for model.config
    marks         (the end of one name, the start of another, ...): a network of this home stands below any prefix that
                  both have; literal, as thousands of names are compared
    among         a pattern that the prefix must match
    blocks        (pattern of a block, pattern of a block that starts a stage): blocks that are numbered through, from 0
    counted       its names -> names to which `renamed` applies, where one depends on the others: layers are counted
    transposed    a pattern for matrices that are stored as (in_features, out_features)
    hwio          convolutions are stored as (kernel_height, kernel_width, in_channels/groups, out_channels)
    affine        a pattern for the names of norms that are a scale and a shift: without statistics, which are added as
                  mean 0 and variance 1
    grouped       what is implied counts only where the 3x3 convolutions have groups (True) or none (False)
    also          further tables whose implications count for this network
    """

    found_by: str = ""
    ndim: int | None = None
    least_side: int = 1
    beside: str = ""
    renamed: tuple[tuple[str, str | Replacement], ...] = ()
    left_out: str = ""
    note: str = ""
    counts: bool = False
    pixelwise: bool = False
    closes: str = ""
    read_by: str = "refused"
    implied: Mapping[str, Any] = MappingProxyType({})
    where: str = ""
    unless: str = ""
    because: str = ""
    alternatives: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    stem_side: int | None = None
    home: str = ""
    marks: tuple[str, ...] = ()
    among: str = ""
    blocks: tuple[str, str] | None = None
    counted: Callable[[Sequence[str]], list[str]] | None = None
    transposed: str = ""
    hwio: bool = False
    affine: str = ""
    grouped: bool | None = None
    also: "tuple[Home, ...]" = ()


class Foreign(NamedTuple):
    """An unsupported kind of network, and how it is identified.

    network  its name in errors
    pattern  a file with a matching name contains such a network
    ndim     the number of axes of that tensor; None for any
    beside   a pattern that another name of the file must match, "" for none
    unless   a pattern that no name of the file may match, "" for none
    without  a number of axes that no tensor of the file may have; None for any
    advice   the remedy, where there is a better one than the list of supported networks
    """

    network: str
    pattern: str
    ndim: int | None = None
    beside: str = ""
    unless: str = ""
    without: int | None = None
    advice: str = ""
