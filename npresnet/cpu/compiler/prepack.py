"""Prepack the weights that programs read, before their first plan: on all workers, or from an earlier run's file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

from npresnet.cpu.compiler.prepared import Store, Wanted
from npresnet.cpu.kernels.filters import Key
from npresnet.cpu.runtime.workers import Team
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
    if is_first and store is not None and store.fill(wanted):
        return
    try:
        _make(missing, team)
    except MemoryError:
        megabytes = sum(4 * prod(one.shape) for one in missing) / 1e6
        raise DeviceError(f"the prepacked weights take {megabytes:,.0f} MB, more than the memory available") from None
    if is_first and store is not None:
        store.keep(wanted)


def _make(missing: list[Wanted], team: Team | None) -> None:
    """Each worker takes the next largest until none remains, or another worker has failed."""
    queue = iter(sorted(missing, key=lambda one: -prod(one.shape)))

    def stop() -> None:
        for _ in queue:
            pass

    def take() -> None:
        try:
            while one := next(queue, None):  # next() is atomic
                one.filters.prepacked(one.key)
        except BaseException:
            stop()
            raise

    if team is None:
        take()
    else:
        team.run([take] * team.workers, stop)
