"""Pages with a generated part between two lines of markers."""

from __future__ import annotations

from collections.abc import Iterable


def replaced(page: str, sections: Iterable[str], markers: tuple[str, str]) -> str:
    """The page with new text between the markers. Raises SystemExit where they are missing or out of order."""
    first, last = markers
    before, start, rest = page.partition(first)
    _, end, after = rest.partition(last)
    if not start or not end:
        raise SystemExit(f"the page needs the line {first} and, below it, {last}")
    return before + "\n\n".join([first, *sections, last]) + after
