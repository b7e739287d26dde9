"""Names and shapes of tensors, and options -> (Network, Config)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from npresnet.arch import families
from npresnet.arch.family import Family, assemble
from npresnet.arch.names import KnownOptions, option_table, settle_arch
from npresnet.arch.options import Option, check_options, given_options, refuse_idle, settle
from npresnet.arch.residual.reading import reconciled
from npresnet.arch.selection.refusals import foreign, naming_foreign
from npresnet.arch.selection.select import prepared, select
from npresnet.arch.tensors import Tensors, shorten
from npresnet.config import Config, Decision, Origin
from npresnet.errors import ArchitectureError
from npresnet.network import Array, Network

SELECTED = ("home", "prefix", "ignored")  # decided by the selection, for every family
LAST = ("preprocess", "labels")  # the last ones in model.config


def build(
    tensors: Mapping[str, Array],
    *,
    arch: str | None = None,
    options: Mapping[str, Any] | None = None,
    origins: Mapping[str, Origin] | None = None,
    hints: Mapping[str, Any] | None = None,
) -> tuple[Network, Config]:
    """Recognise a network by the names and shapes of its tensors, check every shape, and assemble it.

    tensors  {name: array}, names as in the checkpoint without wrapper; arrays of any floating-point type, not copied
    arch     the name the caller expects (see `list_archs`): must agree with the tensors
    options  further options of the caller, named as in OPTIONS; None means not given
    origins  where they come from: {option or "arch": "caller" | "file"}, by default "caller"
    hints    what the file says beside its tensors: see `weights.Checkpoint.facts`; with "published", the name by
             which these very weights are known (torchvision's files, and random ones), nothing is ambiguous

    Returns the network with the file's own numbers, unfolded, and every decision with its origin. Its output is called
    "logits", or "embedding" where the file has no classifier. Reads names and shapes, and the numbers of vectors only.

    Raises ArchitectureError where the tensors are not a supported ResNet, where one is missing, unused or of the wrong
    shape, and where arch or an option contradicts them.
    """
    given, who = given_options(options, KnownOptions()), origins or {}
    selected, implied = select(Tensors(tensors))
    built = partial(_built, arch=arch, given=given, who=who, hints=hints)
    try:
        return built(selected, implied)
    except ArchitectureError as error:
        read = None if (given or arch) and _fits(selected, implied) else _by_structure(tensors)
        if read is None:
            raise _with_key(error, tensors, implied, built) from None
        of_another = None if foreign(selected) is None else error
    from npresnet.arch.selection.structure import doubted

    is_confirmed = arch is not None and who.get("arch", "caller") == "caller"
    try:
        network, config = built(*read)
        return network, doubted(config, given, is_confirmed=is_confirmed)
    except ArchitectureError as error:
        raise _with_key(of_another or error, tensors, implied, built) from None


def _fits(selected: Tensors, implied: dict[str, Decision]) -> bool:
    """Whether the tensors are a network that only the caller's options do not fit."""
    try:
        _built(selected, implied, None, {}, {}, None)
    except ArchitectureError:
        return False
    return True


def _with_key(
    error: ArchitectureError,
    tensors: Mapping[str, Array],
    implied: dict[str, Decision],
    built: Callable[[Tensors, dict[str, Decision]], Any],
) -> ArchitectureError:
    """The error, with the advice to give `key=` where a network below a prefix is spoilt by what stands beside it.

    built  makes a network of a selection as the caller wants it: where that fails too, `key=` is no way out
    """
    prefix = implied["prefix"].value if "prefix" in implied else ""
    inside = {name[len(prefix) :]: array for name, array in tensors.items() if prefix and name.startswith(prefix)}
    if not inside or len(inside) == len(tensors):
        return error
    try:
        built(*select(Tensors(inside)))
    except ArchitectureError:
        return error
    end = "" if str(error).endswith(("?", ".")) else "."
    advice = f"key={prefix.rstrip('.')!r} reads the network below that name alone"
    return ArchitectureError(f"{error}{end} {advice}")


def _by_structure(tensors: Mapping[str, Array]) -> tuple[Tensors, dict[str, Decision]] | None:
    """The selection where names tell nothing, but shapes and their order show a residual network."""
    from npresnet.arch.selection.structure import by_structure

    read = by_structure(prepared(Tensors(tensors)))
    if read is None:
        return None
    selected, implied = select(read[0])
    return selected, {**implied, **read[1]}


def _built(
    selected: Tensors,
    implied: dict[str, Decision],
    arch: str | None,
    given: dict[str, Any],
    who: Mapping[str, Origin],
    hints: Mapping[str, Any] | None,
) -> tuple[Network, Config]:
    """The network of the selected tensors, and every decision."""
    with naming_foreign(selected):
        family = recognise(selected)
    table = option_table(family)
    given = check_options(given, table, family.NAME)
    if "head" in given:
        selected, implied = _with_chosen_head(selected, given["head"], implied)
    with naming_foreign(selected):
        reading = family.read(selected)
    given, who = _with_those_of_a_name(arch, family, table, given, who)
    found = _merged(reading.decisions, implied)
    decisions = settle(found, given, who, table)
    if "stem" in decisions:
        decisions = reconciled(decisions, given)
    if hasattr(family, "adjusted"):
        decisions = family.adjusted(decisions, given)
    decisions["arch"] = settle_arch(arch, who.get("arch", "caller"), family, decisions, reading.sizes, given)
    values = {name: decision.value for name, decision in decisions.items()}
    with naming_foreign(selected):
        network = assemble(family, selected, {**reading.sizes, **values})
    refuse_idle(found, given, who, table)
    if hints and "published" in hints:
        decisions = {name: decision._replace(alternatives=()) for name, decision in decisions.items()}
    return network, Config({**decisions, **_non_finite(selected)})


def recognise(tensors: Tensors) -> Family:
    """The first family whose signature the tensors have. Raises ArchitectureError where there is none."""
    for family in families.FAMILIES:
        if family.signature(tensors):
            return family
    from npresnet.arch.selection.refusals import unknown

    raise ArchitectureError(unknown(tensors))


def _with_those_of_a_name(
    arch: str | None,
    family: Family,
    table: Mapping[str, Option],
    given: Mapping[str, Any],
    who: Mapping[str, Origin],
) -> tuple[dict[str, Any], dict[str, Origin]]:
    """The options, with those that the network's name fixes and no tensor tells: resnetblur50 has a blur."""
    meant = (family.named(arch) if isinstance(arch, str) else None) or {}
    free = {name: value for name, value in meant.items() if name in table and table[name].role in ("free", "seen")}
    origin = who.get("arch", "caller")
    return {**free, **given}, {**dict.fromkeys(free, origin), **who}


def _merged(decisions: Mapping[str, Decision], implied: Mapping[str, Decision]) -> dict[str, Decision]:
    """The family's decisions with those of the selection; preprocess and labels remain last."""
    first = {name: decision for name, decision in decisions.items() if name not in LAST}
    fitting = {name: d for name, d in implied.items() if (name in decisions or name in SELECTED) and name not in LAST}
    return {**first, **fitting, **{name: _told(name, decisions, implied) for name in LAST}}


def _told(name: str, decisions: Mapping[str, Decision], implied: Mapping[str, Decision]) -> Decision:
    """A suggestion of the family, or what the file tells instead; fields of a preprocessing change its preset.

    Mean and standard deviation do not tell the size of images: where that was ambiguous, it remains so.
    """
    usual, told = decisions[name], implied.get(name)
    if told is None:
        return usual
    if isinstance(told.value, Mapping) and usual.value is not None:
        others = told.alternatives or (() if "preset" in told.value else usual.alternatives)
        base = {"preset": usual.value} if isinstance(usual.value, str) else usual.value
        return told._replace(value={**base, **told.value}, alternatives=others)
    return told


def _with_chosen_head(tensors: Tensors, told: Any, implied: dict[str, Decision]) -> tuple[Tensors, dict[str, Decision]]:
    """The tensors without other classifiers, and the decisions with those that were left out."""
    from npresnet.arch.head.choice import choose_head  # seldom needed

    if "ignored" in implied:
        implied = {**implied, "ignored": implied["ignored"]._replace(alternatives=())}
    tensors, left_out = choose_head(tensors, told)
    if "ignored" in implied and left_out:
        before, now = implied["ignored"], left_out["ignored"]
        left_out = {"ignored": now._replace(value=f"{before.value}, {now.value}", note=f"{before.note}; {now.note}")}
    return tensors, {**implied, **left_out}


def _non_finite(tensors: Tensors) -> dict[str, Decision]:
    names = tensors.non_finite()
    note = "hold NaN or infinity: was the training healthy?"
    return {"non_finite": Decision(shorten(names), "file", note)} if names else {}
