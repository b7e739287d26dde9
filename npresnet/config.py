"""Decision and Config: the settings of a model, with their origins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

Origin = Literal["file", "inferred", "default", "caller"]


class Decision(NamedTuple):
    """One setting: its value, its origin, and a note if the reason is not obvious.

    file      stored in the weight file (npresnet's metadata, or the file's wrapper or name)
    inferred  derived from the names and shapes of the tensors
    default   not determined by the tensors; the usual value, which the caller can override
    caller    passed by the caller
    """

    value: Any
    origin: Origin
    note: str = ""


class Config(Mapping[str, Decision]):
    """A read-only, ordered table of decisions: `config["arch"].value`, `config["arch"].origin`; prints as a table."""

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

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """As JSON types: {name: {"value", "origin", "note"}}."""
        return {name: {"value": d.value, "origin": d.origin, "note": d.note} for name, d in self.items()}

    def __str__(self) -> str:
        rows = [(name, _short(d.value), d.origin, _plain(d.note)) for name, d in self.items()]
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
        return "\n".join(
            f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin:<{widths[2]}}  {note}".rstrip()
            for name, value, origin, note in rows
        )

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={_short(d.value)}' for name, d in self.items())})"


def _short(value: Any, limit: int = 48) -> str:
    text = _plain(str(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _plain(text: str) -> str:
    """Escape line ends and control codes, because values and notes may come from a file."""
    return text if text.isprintable() else ascii(text)[1:-1]
