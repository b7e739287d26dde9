"""Decision and Config: the settings of a model, with their origins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

Origin = Literal["file", "inferred", "default", "caller"]
Certainty = Literal["told", "custom", "ambiguous"]


class Decision(NamedTuple):
    """One setting: its value, its origin, a note if the reason is not obvious, and what else it could be.

    Attributes
    ----------
    value
        What was decided.
    origin : str
        "file": stored in the weight file (npresnet's metadata, the file's wrapper or name), or in a file beside it;
        "inferred": derived from the names and shapes of the tensors; "default": not determined by the tensors, the
        usual value, which the caller can override; "caller": passed by the caller.
    note : str
        The reason, where it is not obvious.
    alternatives : tuple of str
        Options as the caller would write them ("max_pool=True"), for which networks in real use have exactly these
        tensors: any makes the decision ambiguous.
    """

    value: Any
    origin: Origin
    note: str = ""
    alternatives: tuple[str, ...] = ()

    @property
    def certainty(self) -> Certainty:
        """How sure it is, "told", "custom" or "ambiguous".

        Told by file, tensors or caller; custom is the usual value, and nothing speaks against it; ambiguous has
        alternatives.
        """
        if self.alternatives:
            return "ambiguous"
        return "custom" if self.origin == "default" else "told"


class Config(Mapping[str, Decision]):
    """A read-only, ordered table of decisions, which prints as a table.

    Examples
    --------
    >>> config = npresnet.load("demo", threads=1).config
    >>> config["threads"].value, config["threads"].origin
    (1, 'caller')
    """

    def __init__(self, decisions: Mapping[str, Decision] | None = None):
        self._decisions = dict(decisions or {})

    def __getitem__(self, name: str) -> Decision:
        return self._decisions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._decisions)

    def __len__(self) -> int:
        return len(self._decisions)

    def with_decisions(self, **decisions: Decision) -> Config:
        """A copy with the given decisions added or replaced."""
        return Config({**self._decisions, **decisions})

    def value(self, name: str, default: Any = None) -> Any:
        """The value of `name`, or `default` if there is no decision."""
        return self._decisions[name].value if name in self._decisions else default

    def ambiguous(self) -> dict[str, Decision]:
        """The decisions that more than one network in real use would make differently."""
        return {name: decision for name, decision in self.items() if decision.alternatives}

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """As JSON types, `{name: {"value", "origin", "note"}}`, and "alternatives" of those that are ambiguous."""
        return {name: _entry(decision) for name, decision in self.items()}

    def __str__(self) -> str:
        rows = [(name, _short(d.value), d.origin, d.certainty, _plain(_remark(d))) for name, d in self.items()]
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(4)]
        return "\n".join(
            "  ".join([*(f"{text:<{width}}" for text, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
            for row in rows
        )

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={_short(d.value)}' for name, d in self.items())})"


def _entry(decision: Decision) -> dict[str, Any]:
    alternatives = {"alternatives": list(decision.alternatives)} if decision.alternatives else {}
    return {"value": decision.value, "origin": decision.origin, "note": decision.note, **alternatives}


def _remark(decision: Decision) -> str:
    """The note, and what settles an ambiguous decision."""
    instead = f"or {', '.join(decision.alternatives)}" if decision.alternatives else ""
    return "; ".join(text for text in (decision.note, instead) if text)


def _short(value: Any, limit: int = 48) -> str:
    text = _plain(str(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _plain(text: str) -> str:
    """Escape line ends and control codes, because values and notes may come from a file."""
    return text if text.isprintable() else ascii(text)[1:-1]
