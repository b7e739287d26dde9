"""Prepack the weights that programs read, before their first plan: on all workers, or from an earlier run's file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

from npresnet.cpu.compiler.prepared import Store, Wanted, checksum_of_all
from npresnet.cpu.kernels.filters import Key
from npresnet.cpu.runtime.workers import Team, share
from npresnet.errors import DeviceError


def prepack(
    weights: Mapping[str, Any], forms: Iterable[tuple[str, Key]], store: Store | None, team: Team | None
) -> None:
    """Make those prepacked forms of the named layers' weights that are missing.

    store  where prepacked forms of a whole network are kept; None keeps none
    team   workers that this call has entered; None uses this thread alone

    Raises DeviceError where memory is insufficient.
    """
    wanted = [Wanted(name, weights[name], key) for name, key in forms]
    missing = [one for one in wanted if not one.filters.has(one.key)]
    if not missing:
        return
    is_first = len(missing) == len(wanted)  # later sizes and batches share most forms with the first
    store = store if is_first else None
    if store is not None and store.fill(wanted, team):
        return
    is_due = store is not None and store.is_due(wanted)
    before = checksum_of_all(wanted, team) if is_due else 0
    try:
        share(sorted(missing, key=lambda one: -prod(one.shape)), _make, team)
    except MemoryError:
        megabytes = sum(4 * prod(one.shape) for one in missing) / 1e6
        raise DeviceError(f"the prepacked weights take {megabytes:,.0f} MB, more than the memory available") from None
    if store is not None and is_due:
        store.keep(wanted, before, team)


def _make(one: Wanted) -> None:
    one.filters.prepacked(one.key)
