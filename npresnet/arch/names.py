"""Names of architectures and options, and the options that an architecture's name implies."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from npresnet.arch import families
from npresnet.arch.family import Family, Options, fits
from npresnet.arch.options import COMMON, Option, said_by, short
from npresnet.config import Decision, Origin
from npresnet.errors import ArchitectureError


def list_archs(pattern: str | None = None) -> list[str]:
    """The names that `build` and `arch=` accept: torchvision's ten, other depths, CIFAR's.

    Parameters
    ----------
    pattern : str, optional
        Names that match it alone, as file names do in a shell: "*50*", "cifar_*", "resnet[0-9]*", in letters of any
        case; None: all.

    Returns
    -------
    list of str

    Examples
    --------
    >>> npresnet.list_archs("wide_*")
    ['wide_resnet50_2', 'wide_resnet101_2']
    """
    names = list(dict.fromkeys(name for family in families.FAMILIES for name in family.ARCHS))
    if pattern is None:
        return names
    if not isinstance(pattern, str):
        raise ArchitectureError(f"expected a pattern such as '*50*', got {type(pattern).__name__}")
    from fnmatch import fnmatchcase

    return [name for name in names if fnmatchcase(name, pattern.lower())]


def list_options() -> list[str]:
    """The names of all options of all families; those that tensors do not determine come first."""
    tables = {name: option for family in families.FAMILIES for name, option in option_table(family).items()}
    return sorted(tables, key=lambda name: tables[name].role not in ("free", "seen", "start"))


def is_arch(name: object) -> bool:
    """Whether this is one of `list_archs`; families are searched only as far as necessary."""
    return isinstance(name, str) and any(name in family.ARCHS for family in families.FAMILIES)


def is_option(name: object) -> bool:
    """Whether any family has an option of this name; they are searched only as far as necessary."""
    return any(name in option_table(family) for family in families.FAMILIES)


class KnownOptions:
    """The names of all options, looked up as `is_option` does and listed as `list_options` does."""

    def __contains__(self, name: object) -> bool:
        return is_option(name)

    def __iter__(self) -> Iterator[str]:
        return iter(list_options())


def options_of(family: object) -> Collection[str]:
    """The names of the options of the family called so; those of all families where none is."""
    found = next((one for one in families.FAMILIES if family == one.NAME), None)
    return list_options() if found is None else option_table(found)


def option_table(family: Family) -> dict[str, Option]:
    """The options of a family's networks."""
    return {**COMMON, **family.OPTIONS}


def find_arch(name: object) -> tuple[Family, Options]:
    """The family of a name, and the options that the name fixes: {} for a name of any network of its family.

    Raises ArchitectureError for an unknown name.
    """
    if not isinstance(name, str):
        raise ArchitectureError(f"expected an architecture's name, such as 'resnet50', got {name!r}")
    for family in families.FAMILIES:
        options = family.named(name)
        if options is not None:
            return family, options
    raise unknown_arch(name)


def unknown_arch(name: str) -> ArchitectureError:
    """The error for an unknown architecture."""
    import difflib  # only in case of an error

    known = list_archs()
    close = difflib.get_close_matches(name[:60].lower(), known, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return ArchitectureError(
        f"unknown architecture {name[:60]!r}.{hint} npresnet.list_archs() returns the {len(known)} known names, "
        "list_archs('*50*') those that match"
    )


def settle_arch(
    arch: str | None,
    origin: Origin,
    family: Family,
    decisions: Mapping[str, Decision],
    sizes: Mapping[str, Any],
    beside: Mapping[str, Any],
) -> Decision:
    """The network's name: the one that the decisions have, or the given one where it means the same.

    sizes   what the family has read beside them
    beside  the other given options: one whose role is "size" overrides the name's

    Raises ArchitectureError where `arch` is another network's name, or unknown.
    """
    found = decisions["arch"]
    if hasattr(family, "name_of"):
        found = found._replace(value=family.name_of(decisions))
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
    adjusted = {key: value for key, value in beside.items() if key in meant and table[key].role in ("size", "free")}
    meant = {**meant, **adjusted}
    if owner == family.NAME and fits(meant, decisions):
        return Decision(arch, origin)
    have = {key: decisions[key].value if key in decisions else sizes.get(key) for key in meant}
    raise ArchitectureError(
        f"arch={arch!r}, {said_by(origin)}, does not fit the tensors\n"
        f"  {arch}  {_describe({'family': owner, **meant})}\n"
        f"  tensors  {_describe({'family': family.NAME, **have})}\n"
        f"  They look like {found.value}. Leave arch out, or load the file it is meant for."
    )


def _describe(options: Options) -> str:
    return ", ".join(f"{name} {value if isinstance(value, str) else short(value)}" for name, value in options.items())
