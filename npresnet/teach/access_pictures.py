"""One load or store of a warp as a picture: 32 threads above, the memory below, a line from each thread to its element.

Global memory is drawn in sectors of 32 bytes: those that are touched are filled, and a filled sector is moved whole.
Shared memory is drawn as its 32 banks: words of one bank that stand above each other are read one after another.
"""

from __future__ import annotations

from html import escape

from npresnet.teach.accesses import BANKS, SECTOR_BYTES, WARP, WORD_BYTES, WarpAccess

WIDTH, LEFT, TOP, BOX = 960, 16, 40, 14  # pixels
PITCH = (WIDTH - 2 * LEFT) / WARP
MOST_SECTORS = 32  # drawn; more are counted in the title alone

STYLE = (  # of this picture alone: a page has one style for all that is in it
    ".warp{background:#fff}.warp text{font:11px system-ui,sans-serif;fill:#333}"
    ".warp .title{font-size:13px;font-weight:600}"
    ".warp .lane{fill:#dbe7f5;stroke:#33618f}.warp .idle{fill:#fff;stroke:#bbb}"
    ".warp .wire{stroke:#33618f;stroke-width:1;opacity:.7}.warp .sector{fill:none;stroke:#888}"
    ".warp .touched{fill:#fbe3c8;stroke:#a8590f}.warp .cell{fill:#d9771a}"
)


class Picture(str):
    """An SVG document, which notebooks show as a picture."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(self)


def draw(access: WarpAccess) -> Picture:
    """The access as an SVG document."""
    body, height = _shared(access) if access.shared else _global(access)
    lanes = "".join(_lane(lane, lane in access.cells) for lane in range(WARP))
    does = "stores to" if access.writes else "loads from"
    title = f"line {access.line}: a warp {does} {escape(access.array)}: {_cost(access)}"
    return Picture(
        f'<svg class="warp" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{title}">'
        f'<style>{STYLE}</style><text class="title" x="{LEFT}" y="18">{title}</text>{lanes}{body}</svg>'
    )


def _cost(access: WarpAccess) -> str:
    if access.shared:
        return f"{access.turns} turn{'s' * (access.turns > 1)} of shared memory"
    touched = len(access.sectors)
    return f"{touched} sector{'s' * (touched > 1)} of {SECTOR_BYTES} bytes, at best {access.least_sectors}"


def _lane(lane: int, active: bool) -> str:
    x, kind = LEFT + lane * PITCH, "lane" if active else "idle"
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{TOP}" width="{PITCH - 4:.1f}" height="{BOX + 4}"/>'
        f'<text x="{x + 4:.1f}" y="{TOP + BOX - 1}">{lane}</text>'
    )


def _wire(lane: int, x: float, y: float) -> str:
    start = LEFT + lane * PITCH + PITCH / 2 - 2
    return f'<line class="wire" x1="{start:.1f}" y1="{TOP + BOX + 4}" x2="{x:.1f}" y2="{y:.1f}"/>'


def _global(access: WarpAccess) -> tuple[str, int]:
    """The sectors from the first touched on, in a row; a gap between touched ones is left out and marked."""
    shown = access.sectors[:MOST_SECTORS]
    y, width = 150.0, min((WIDTH - 2 * LEFT) / max(len(shown), 4), 116.0)
    items = SECTOR_BYTES // access.item_bytes
    parts, before = [], shown[0]
    for place, sector in enumerate(shown):
        x = LEFT + place * width
        parts.append(f'<rect class="touched" x="{x:.1f}" y="{y}" width="{width - 5:.1f}" height="{BOX + 6}"/>')
        if width > 40 or place % 4 == 0:
            parts.append(f'<text x="{x:.1f}" y="{y + 38}">{sector * SECTOR_BYTES}</text>')
        if sector > before + 1:
            parts.append(f'<text x="{x - 8:.1f}" y="{y + 14}">…</text>')
        before = sector
        cell_width = (width - 5) / items
        for lane, cell in access.cells.items():
            if cell * access.item_bytes // SECTOR_BYTES == sector:
                at = x + (cell % items) * cell_width
                parts.append(
                    f'<rect class="cell" x="{at + 0.5:.1f}" y="{y + 2}" width="{max(cell_width - 1, 1):.1f}" '
                    f'height="{BOX + 2}"/>' + _wire(lane, at + cell_width / 2, y)
                )
    left_out = len(access.sectors) - len(shown)
    more = f", and {left_out} sectors more" if left_out else ""
    parts.append(f'<text x="{LEFT}" y="{y + 56}">bytes from the start of {escape(access.array)}{more}</text>')
    return "".join(parts), int(y) + 68


def _shared(access: WarpAccess) -> tuple[str, int]:
    """The banks in a row; each word that is wanted stands in its bank's column."""
    y, parts = 150.0, []
    columns: dict[int, list[int]] = {}
    for lane, cell in access.cells.items():
        word = cell * access.item_bytes // WORD_BYTES
        column = columns.setdefault(word % BANKS, [])
        if word not in column:
            column.append(word)
        x, row = LEFT + word % BANKS * PITCH, y + column.index(word) * (BOX + 4)
        parts.append(f'<rect class="cell" x="{x + 1:.1f}" y="{row:.1f}" width="{PITCH - 6:.1f}" height="{BOX}"/>')
        parts.append(_wire(lane, x + PITCH / 2 - 2, row))
    deepest = access.turns * (BOX + 4)
    for bank in range(BANKS):
        x = LEFT + bank * PITCH
        parts.append(f'<rect class="sector" x="{x:.1f}" y="{y - 2}" width="{PITCH - 4:.1f}" height="{deepest + 2}"/>')
        parts.append(f'<text x="{x + 3:.1f}" y="{y + deepest + 14}">{bank}</text>')
    parts.append(f'<text x="{LEFT}" y="{y + deepest + 32}">banks of shared memory, {WORD_BYTES} bytes wide</text>')
    return "".join(parts), int(y + deepest) + 44
