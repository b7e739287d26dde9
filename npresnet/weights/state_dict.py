"""Find the state dict in a checkpoint's object: unwrap it, strip prefixes, note what was left out.

- A state dict is a dict that holds tensors. Training scripts wrap it, at any depth: `{"state_dict": ..., "epoch": 90}`,
  `{"checkpoint": {"state_dict": ...}}`. holders.py finds them all, custom.py says which one is the network, and the
  caller's `key` overrides it (keys.py).
- Wrapping modules prefix every name: `module.` (DataParallel), `_orig_mod.` (torch.compile), `model.`, ... A known
  prefix shared by all names is stripped, repeatedly. One that only some names have stays: which tensors belong to a
  network is no question of the file format.
- Names are strings; Python 2 bytes are latin-1, integers become decimal strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

from npresnet.config import Decision
from npresnet.errors import CheckpointError
from npresnet.weights.custom import PLAIN, Choice, choose, listed
from npresnet.weights.holders import NETWORK, Entries, Holder, Path, dotted, name_of
from npresnet.weights.inert import Global, Inert, as_mapping, as_tensor, describe
from npresnet.weights.rivals import Tensors, differ
from npresnet.weights.source import shown

PREFIXES = ("backbone.body.", "module.", "model.", "backbone.", "encoder_q.", "encoder.", "_orig_mod.")
_MAX_ROUNDS = 6
_MAX_RIVALS = 4  # listed, and their numbers compared
_MAX_OTHERS = 10_000


class StateDict:
    """Tensors by name, and where they stood.

    wrapper  dotted path of the keys that lead to them; None for the top level itself
    prefix   taken off the names, or ""
    key      which of several state dicts it is, where there was a choice
    around   the dicts on the way, outermost first, the tensors' own last
    others   {name: value} of the other entries of these dicts; names of inner dicts are dotted
    """

    def __init__(
        self,
        tensors: Tensors,
        wrapper: str | None = None,
        *,
        others: dict[str, object],
        around: Iterable[Entries] = (),
    ):
        self.tensors = tensors
        self.wrapper = wrapper
        self.prefix = ""
        self.key: Decision | None = None
        self.others = others
        self.around = list(around)
        self.notes: list[str] = []


def find_state_dict(root: object, key: str | None = None) -> StateDict:
    """The state dict inside a checkpoint's object; `key` is a dotted path, see keys.py.

    Raises CheckpointError if there is none, if several could be meant, or if the key does not exist.
    """
    top = as_mapping(root)
    if top is None:
        raise CheckpointError(_no_state_dict(root))
    if key is not None:
        from npresnet.weights.keys import find_by_key

        return find_by_key(top, key)
    choice = choose(top)
    if choice is None:
        raise CheckpointError(_no_tensors(top))
    return chosen(top, choice)


def chosen(top: Entries, choice: Choice) -> StateDict:
    """The tensors of the chosen dict, prefixes stripped; the decision and its rivals are noted."""
    found = at(top, choice.holder.path)
    strip_prefixes(found)
    where = dotted(choice.holder.path)
    others = [rival for rival in choice.rivals[:_MAX_RIVALS] if _differs(rival, found)]
    if others and choice.holder.rank == NETWORK:
        alternatives = tuple(f"key={dotted(other.path)!r}" for other in others)
        found.key = Decision(where, "default", f"the file also holds tensors in {listed(choice.rivals)}", alternatives)
    elif scales := _scales(found.others):
        note = f"{_listed(scales)} beside it scales no result"
        found.key = Decision(where, "default", note, (f"key={where!r}",))
    elif choice.custom:
        found.key = Decision(where, "default", choice.custom)
    if choice.rivals:
        same = "" if others else ", with the same numbers"
        used = where or "the top level"
        found.notes.append(f"the file also holds tensors in {listed(choice.rivals)}{same}; those of {used} were used")
    return found


def at(top: Entries, path: Path) -> StateDict:
    """The tensors of the dict at `path`, names as in the file."""
    around = [top]
    for key in path:
        around.append(as_mapping(around[-1][key]) or {})
    entries = around[-1]
    found = StateDict(tensors_of(entries), dotted(path) if path else None, others=_others(around, path), around=around)
    left_out = [name_of(key) for key, value in entries.items() if as_tensor(value) is None]
    if path and left_out:
        found.notes.append(f"{_listed(left_out)} in {found.wrapper} held no tensor and were left out")
    return found


def tensors_of(entries: Entries) -> Tensors:
    """The tensors among the entries, by name."""
    found: Tensors = {}
    for key, value in entries.items():
        tensor = as_tensor(value)
        if tensor is not None:
            if not isinstance(key, (str, bytes, int)):
                raise CheckpointError(f"the key of one of its tensors is no name: {describe(key)}.")
            if name_of(key) in found:
                raise CheckpointError(f"two tensors are called {shown(name_of(key))}; the file is ambiguous.")
            found[name_of(key)] = tensor
    return found


def _others(around: list[Entries], path: Path) -> dict[str, object]:
    """What stands beside the state dict, and at the top level also what it holds beside tensors."""
    if not path:
        return {name_of(key): value for key, value in around[0].items() if as_tensor(value) is None}
    found: dict[str, object] = {}
    for depth, entries in enumerate(around[:-1]):
        outer = dotted(path[:depth]) + "." if depth else ""
        for key, value in entries.items():
            if key is not path[depth] and key != path[depth] and len(found) < _MAX_OTHERS:
                found[outer + name_of(key)] = value
    return found


def _scales(others: dict[str, object]) -> list[str]:
    """Tensors beside the state dict that a calibration of the logits has learned."""
    named = r"(^|\.)(temperatures?|logit_(scale|bias)|calibration|platt_\w+)$"
    return [name for name, value in others.items() if as_tensor(value) is not None and re.search(named, name)]


def _differs(rival: Holder, found: StateDict) -> bool:
    """Whether a rival holds other numbers; the single numbers of counters do not count."""
    if rival.rank < NETWORK:
        return True
    try:
        theirs = _comparable(tensors_of(rival.entries))
    except CheckpointError:
        return True
    return differ(_comparable(found.tensors), theirs)


def _comparable(tensors: Tensors) -> Tensors:
    arrays = {name: tensor for name, tensor in tensors.items() if getattr(tensor, "shape", None) != ()}
    prefix = common_prefix(arrays)
    return {name.removeprefix(prefix): tensor for name, tensor in arrays.items()}


# --- prefixes --------------------------------------------------------------------------------------------------------


def strip_prefixes(found: StateDict) -> None:
    """Strip known prefixes shared by all names; updates tensors and prefix."""
    if prefix := common_prefix(found.tensors):
        found.tensors = {name.removeprefix(prefix): tensor for name, tensor in found.tensors.items()}
        found.prefix += prefix


def common_prefix(names: Iterable[str]) -> str:
    """The known prefixes that all names share, joined; no name is left empty."""
    rest, found = list(names), ""
    for _ in range(_MAX_ROUNDS if rest else 0):
        prefix = next((p for p in PREFIXES if all(name.startswith(p) and name != p for name in rest)), None)
        if prefix is None:
            break
        rest = [name.removeprefix(prefix) for name in rest]
        found += prefix
    return found


# --- messages --------------------------------------------------------------------------------------------------------

_SAVE = "In PyTorch: `torch.save(model.state_dict(), 'weights.pth')`, then read that."


def _no_state_dict(root: object) -> str:
    if isinstance(root, (Inert, Global)):
        return f"it holds a pickled object ({root!r}); npresnet never executes code from a file. {_SAVE}"
    if as_tensor(root) is not None:
        return f"it holds a single tensor; expected a dict of tensors. {_SAVE}"
    return f"it holds no state dict; expected a dict of tensors, got {describe(root)}. {_SAVE}"


def _no_tensors(top: Entries) -> str:
    modules = [f"{name_of(key)} ({value!r})" for key, value in top.items() if isinstance(value, Inert)]
    if modules and any(name_of(key) in PLAIN for key, value in top.items() if isinstance(value, Inert)):
        return f"it holds pickled objects instead of tensors: {_listed(modules)}. {_SAVE}"
    return f"it holds no tensors by name; its entries are {_listed(map(name_of, top)) or 'none'}. {_SAVE}"


def _listed(names: Iterable[str], limit: int = 3) -> str:
    rest = iter(names)
    found = [shown(name) for name in islice(rest, limit)]
    more = sum(1 for _ in rest)
    return ", ".join(found) + (f" and {more:,} more" if more else "")
