"""Names of architectures and options: which there are, and what an architecture's name says about a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npresnet.arch import families
from npresnet.arch.family import Family, Options, Reading, fits
from npresnet.arch.options import COMMON, Option, said_by, short
from npresnet.config import Decision, Origin
from npresnet.errors import ArchitectureError


def list_archs() -> list[str]:
    """The names that `random_tensors` makes and `arch=` takes: torchvision's ten, other depths, CIFAR's."""
    return list(dict.fromkeys(name for family in families.FAMILIES for name in family.ARCHS))


def list_options() -> list[str]:
    """The names of all options that a network of any family may have; those that tensors cannot tell come first."""
    tables = {name: option for family in families.FAMILIES for name, option in option_table(family).items()}
    return sorted(tables, key=lambda name: tables[name].role not in ("free", "start"))


def option_table(family: Family) -> dict[str, Option]:
    """The options of a family's networks."""
    return {**COMMON, **family.OPTIONS}


def find_arch(name: object) -> tuple[Family, Options]:
    """The family of a name, and the options that the name fixes: {} for a name of any network of its family.

    Raises ArchitectureError for a name that no family has.
    """
    if not isinstance(name, str):
        raise ArchitectureError(f"an architecture goes by its name, such as 'resnet50', not {name!r}")
    for family in families.FAMILIES:
        options = family.named(name)
        if options is not None:
            return family, options
    raise unknown_arch(name)


def unknown_arch(name: str) -> ArchitectureError:
    """What is said to a name that stands for no network."""
    import difflib  # only where something is wrong

    close = difflib.get_close_matches(name, list_archs(), n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return ArchitectureError(
        f"there is no architecture called {name[:60]!r}.{hint} Known are {', '.join(list_archs())}"
    )


def settle_arch(
    arch: str | None,
    origin: Origin,
    family: Family,
    reading: Reading,
    beside: Mapping[str, Any],
) -> Decision:
    """The network's name: the one that was read off the tensors, or the given one where it means the same.

    beside  options that were given, too: one whose role is "size" stands in place of what the name says

    Raises ArchitectureError where `arch` means another network, or none.
    """
    found = reading.decisions["arch"]
    if arch is None:
        return found
    if arch == found.value:
        return Decision(arch, origin)
    meant = family.named(arch) if isinstance(arch, str) else None
    owner = family.NAME
    if meant is None:
        other, meant = find_arch(arch)
        owner = other.NAME
    table = option_table(family)
    adjusted = {key: value for key, value in beside.items() if key in meant and table[key].role == "size"}
    meant = {**meant, **adjusted}
    if owner == family.NAME and fits(meant, reading.decisions):
        return Decision(arch, origin)
    have = {key: reading.decisions[key].value if key in reading.decisions else reading.sizes.get(key) for key in meant}
    raise ArchitectureError(
        f"arch={arch!r}, {said_by(origin)}, does not fit the tensors\n"
        f"  {arch}  {_describe({'family': owner, **meant})}\n"
        f"  tensors  {_describe({'family': family.NAME, **have})}\n"
        f"  They look like {found.value}. Leave arch out, or load the file it is meant for."
    )


def _describe(options: Options) -> str:
    return ", ".join(f"{name} {value if isinstance(value, str) else short(value)}" for name, value in options.items())
