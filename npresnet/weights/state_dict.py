"""Find the state dict in a checkpoint's object: unwrap one level, strip prefixes, note what was left out.

- A state dict is a dict that holds tensors. Training scripts wrap it: `{"state_dict": ..., "epoch": 90, ...}`.
- One level is unwrapped, by the usual keys (WRAPPERS, in that order) or if exactly one entry holds tensors.
- Wrapping modules prefix every name: `module.` (DataParallel), `_orig_mod.` (torch.compile), `model.`, ... A prefix
  shared by all names is stripped, repeatedly.
- If only some names have a known prefix and a ResNet's stem is among them (`backbone.` beside `classifier.`), it is
  stripped from these; other names are unchanged. A second network with the same names under its own prefix (MoCo's
  `encoder_k.` beside `encoder_q.`) is left out.
- Names are strings; Python 2 bytes are latin-1, integers become decimal strings.
"""

from __future__ import annotations

from collections.abc import Iterable

from npresnet.errors import CheckpointError
from npresnet.weights.inert import Global, Inert, as_mapping, as_tensor, describe
from npresnet.weights.source import shown
from npresnet.weights.tensor import Tensor, Unreadable

WRAPPERS = (
    "state_dict", "model_state_dict", "model", "net", "model_state", "state_dict_ema", "model_ema", "blobs",
)  # fmt: skip
PREFIXES = ("backbone.body.", "module.", "model.", "backbone.", "encoder_q.", "encoder.", "_orig_mod.")
_STEMS = ("conv1.", "layer1.", "layer0.", "stem.")
_MAX_ROUNDS = 6

Tensors = dict[str, Tensor | Unreadable]


class StateDict:
    """Tensors by name, the unwrapped key, the stripped prefix, and the file's other entries."""

    def __init__(self, tensors: Tensors, wrapper: str | None = None, *, others: dict[str, object]):
        self.tensors = tensors
        self.wrapper = wrapper
        self.prefix = ""
        self.others = others
        self.notes: list[str] = []


def find_state_dict(root: object) -> StateDict:
    """The state dict inside a checkpoint's object. Raises CheckpointError if there is none."""
    top = as_mapping(root)
    if top is None:
        raise CheckpointError(_no_state_dict(root))
    found = _unwrap(top)
    if not found.tensors:
        raise CheckpointError(_no_tensors(top))
    strip_prefixes(found)
    return found


def _unwrap(top: dict[object, object]) -> StateDict:
    own = _tensors(top)
    inner = _inner(top)
    wrapper = next((name for name in WRAPPERS if name in inner), None)
    if wrapper is None and not own and len(inner) == 1:
        (wrapper,) = inner
    if wrapper is None:
        return StateDict(own, others={_name(k): v for k, v in top.items() if as_tensor(v) is None})
    entries = as_mapping(inner[wrapper]) or {}
    found = StateDict(_tensors(entries), wrapper, others={_name(k): v for k, v in top.items() if _name(k) != wrapper})
    if rivals := [name for name in inner if name != wrapper]:
        found.notes.append(f"the file also holds tensors in {_listed(rivals)}; those of {wrapper} were used")
    if left_out := [_name(key) for key, value in entries.items() if as_tensor(value) is None]:
        found.notes.append(f"{_listed(left_out)} in {wrapper} held no tensor and were left out")
    return found


def _tensors(entries: dict[object, object]) -> Tensors:
    found: Tensors = {}
    for key, value in entries.items():
        tensor = as_tensor(value)
        if tensor is not None:
            if _name(key) in found:
                raise CheckpointError(f"two tensors are called {shown(_name(key))}; the file is ambiguous.")
            found[_name(key)] = tensor
    return found


def _inner(top: dict[object, object]) -> dict[str, object]:
    """The entries that are dicts of tensors. Each object is inspected once: thousands of entries may share it."""
    objects = {id(value): value for value in top.values()}
    holders = {key for key, value in objects.items() if _holds_tensors(value)}
    return {_name(key): value for key, value in top.items() if id(value) in holders}


def _holds_tensors(value: object) -> bool:
    return any(as_tensor(entry) is not None for entry in (as_mapping(value) or {}).values())


def _name(key: object) -> str:
    if isinstance(key, bytes):
        return key.decode("latin-1")
    return key if isinstance(key, str) else describe(key)


# --- prefixes --------------------------------------------------------------------------------------------------------


def strip_prefixes(found: StateDict) -> None:
    """Strip prefixes shared by all names or by those of the network; updates tensors, prefix and notes."""
    for _ in range(_MAX_ROUNDS):
        names = list(found.tensors)
        if prefix := next((p for p in PREFIXES if all(name.startswith(p) and name != p for name in names)), None):
            found.tensors = {name.removeprefix(prefix): tensor for name, tensor in found.tensors.items()}
        elif prefix := next((p for p in PREFIXES if _is_network(names, p)), None):
            _strip_some(found, prefix)
        else:
            return
        found.prefix += prefix


def _is_network(names: list[str], prefix: str) -> bool:
    """Whether the names with this prefix form a ResNet and, once stripped, do not collide with other names."""
    below = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    others = {name for name in names if not name.startswith(prefix)}
    return any(name.startswith(_STEMS) for name in below) and not below & others and "" not in below


def _strip_some(found: StateDict, prefix: str) -> None:
    below = {name.removeprefix(prefix): t for name, t in found.tensors.items() if name.startswith(prefix)}
    others = {name: t for name, t in found.tensors.items() if not name.startswith(prefix)}
    twins = {name for name in others if name.partition(".")[2] in below}
    found.tensors = below | {name: tensor for name, tensor in others.items() if name not in twins}
    if twins:
        found.notes.append(f"{len(twins)} tensors of a second copy of the network ({_listed(twins)}) were left out")
    if rest := [name for name in others if name not in twins]:
        found.notes.append(f"{_listed(rest)} have no prefix {prefix} and keep their names")


# --- messages --------------------------------------------------------------------------------------------------------

_SAVE = "In PyTorch: `torch.save(model.state_dict(), 'weights.pth')`, then read that."


def _no_state_dict(root: object) -> str:
    if isinstance(root, (Inert, Global)):
        return f"it holds a pickled object ({root!r}); npresnet never executes code from a file. {_SAVE}"
    if as_tensor(root) is not None:
        return f"it holds a single tensor; expected a dict of tensors. {_SAVE}"
    return f"it holds no state dict; expected a dict of tensors, got {describe(root)}. {_SAVE}"


def _no_tensors(top: dict[object, object]) -> str:
    modules = [f"{_name(key)} ({value!r})" for key, value in top.items() if isinstance(value, Inert)]
    if modules and any(_name(key) in WRAPPERS for key, value in top.items() if isinstance(value, Inert)):
        return f"it holds pickled objects instead of tensors: {_listed(modules)}. {_SAVE}"
    if rivals := _inner(top):
        return f"it holds several state dicts ({_listed(rivals)}); save only the one you need. {_SAVE}"
    return f"it holds no tensors by name; its entries are {_listed(_name(key) for key in top) or 'none'}. {_SAVE}"


def _listed(names: Iterable[str], limit: int = 3) -> str:
    found = [shown(name) for name in names]
    return ", ".join(found[:limit]) + (f" and {len(found) - limit:,} more" if len(found) > limit else "")
