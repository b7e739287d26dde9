"""Table: cells that are aligned text for a terminal, or Markdown for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A header and rows of as many cells; the columns numbered in `texts` are text, the others numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: Sequence[int] = (0,)

    def to_text(self) -> str:
        """Columns aligned with spaces, under a rule."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        texts = [
            "  ".join(
                cell.ljust(widths[i]) if i in self.texts else cell.rjust(widths[i]) for i, cell in enumerate(line)
            )
            for line in lines
        ]
        return "\n".join([texts[0].rstrip(), "-" * len(texts[0]), *(text.rstrip() for text in texts[1:])])

    def without_empty(self) -> Table:
        """Without the columns that have no value."""
        kept = [i for i in range(len(self.header)) if i == 0 or any(row[i] for row in self.rows)]
        texts = [place for place, i in enumerate(kept) if i in self.texts]
        return Table([self.header[i] for i in kept], [[row[i] for i in kept] for row in self.rows], texts)

    def to_markdown(self) -> str:
        """A GitHub table."""
        rule = ["---" if i in self.texts else "---:" for i in range(len(self.header))]
        return "\n".join(f"| {' | '.join(line)} |" for line in [self.header, rule, *self.rows])
