#!/usr/bin/env python3
"""Draw the layers of npresnet and the data's way through them: docs/architecture.svg, and the table of layers of
docs/architecture.md.

    python tools/draw_architecture.py            write both
    python tools/draw_architecture.py --check    exit 1 if they are not what pyproject.toml says

The layers are those of the import contract in pyproject.toml; what a room is for stands in ROOMS below.
"""

from __future__ import annotations

import re
import sys
from html import escape
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent
PICTURE = REPOSITORY / "docs" / "architecture.svg"
PAGE = REPOSITORY / "docs" / "architecture.md"
CONTRACT = "each layer imports only from below"
BEGIN, END = "<!-- layers:start -->", "<!-- layers:end -->"

ROOMS = {
    "cli": "the command line",
    "serve": "an HTTP server",
    "ray": "many machines",
    "teach": "pages, exercises, the ladder",
    "bench": "measuring",
    "model": "load, build, convert, Model",
    "views": "tables and pictures of a model",
    "cpu": "NumPy on threads",
    "cuda": "CuPy and kernels/",
    "images": "reading and preprocessing as torchvision does",
    "plan": "what both backends share: shapes, lifetimes, arena, steps",
    "passes": "Network to Network: fold BatchNorm, fuse",
    "arch": "names and shapes to a Network: homes, families",
    "graph": "traced graphs to a Network",
    "weights": "bytes to {name: array}, one file a format",
    "ops": "each operation's plain NumPy and its record",
    "network": "Node and Network: what a net is, pure data",
    "window": "Window: the only size arithmetic",
    "system": "files, locks, the cache folder, mapped pages",
    "errors": "the exceptions",
    "config": "decisions, their origins",
}
# The data's way, upwards: where, and what it is afterwards
WAY = (
    ("weights", "a file becomes {name: array}, none of it run"),
    ("arch", "names and shapes become a Network"),
    ("passes", "BatchNorms folded, steps fused"),
    ("plan", "every value gets a place in one arena"),
    ("images", "a photo becomes (1, 3, 224, 224) float32"),
    ("cpu", "compiled once for a shape; run: logits"),
    ("model", "scores, the best classes, their labels"),
    ("cli", "printed, or written to a file"),
)

WIDTH, STACK, GAP = 980, 560, 8  # pixels; STACK: the width of the layers
ROW, TOP = 50, 44
STYLE = """
.house { --ink: #1f2328; --quiet: #57606a; --box: #eef3fa; --edge: #5b7fb0; --way: #a8590f; --dot: #fff3e0; }
@media (prefers-color-scheme: dark) {
  .house { --ink: #e6edf3; --quiet: #9aa4af; --box: #1b2735; --edge: #6f9bd1; --way: #f0a35a; --dot: #3a2a17; }
}
html[data-theme="light"] .house {
  --ink: #1f2328; --quiet: #57606a; --box: #eef3fa; --edge: #5b7fb0; --way: #a8590f; --dot: #fff3e0;
}
html[data-theme="dark"] .house {
  --ink: #e6edf3; --quiet: #9aa4af; --box: #1b2735; --edge: #6f9bd1; --way: #f0a35a; --dot: #3a2a17;
}
.house text { font: 13px system-ui, sans-serif; fill: var(--quiet); }
.house .name { font-weight: 650; fill: var(--ink); }
.house .title { font-weight: 650; font-size: 14px; fill: var(--ink); }
.house rect { fill: var(--box); stroke: var(--edge); }
.house circle { fill: var(--dot); stroke: var(--way); stroke-width: 1.5; }
.house .number { fill: var(--way); font-weight: 650; text-anchor: middle; }
.house path { stroke: var(--way); stroke-width: 1.5; fill: none; }
"""


class Layer(NamedTuple):
    """Rooms of one height; `independent`: they must not import each other."""

    rooms: tuple[str, ...]
    independent: bool


def read_layers() -> list[Layer]:
    """The layers of the contract, topmost first, without those whose names begin with an underscore."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    contract = text[text.index(f'name = "{CONTRACT}"') :]
    listed = contract[contract.index("\nlayers = [") : contract.index("\n]")]
    layers = [Layer(tuple(re.findall(r"\w+", line)), "|" in line) for line in re.findall(r'"([^"]+)"', listed)]
    kept = [Layer(tuple(room for room in layer.rooms if room[0] != "_"), layer.independent) for layer in layers]
    return [layer for layer in kept if layer.rooms]


def level_of(room: str, layers: list[Layer]) -> int:
    """0 is the lowest layer."""
    return next(level for level, layer in enumerate(reversed(layers)) if room in layer.rooms)


def to_svg(layers: list[Layer]) -> str:
    height = TOP + ROW * len(layers) + 8
    heights = {room: TOP + ROW * row for row, layer in enumerate(layers) for room in layer.rooms}
    body = [_layer(layer, TOP + ROW * row) for row, layer in enumerate(layers)]
    return "\n".join(
        [
            f'<svg class="house" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
            f'aria-labelledby="house-title">',
            '<title id="house-title">The layers of npresnet, and the way of the data through them</title>',
            f"<style>{STYLE}</style>",
            '<text class="title" x="8" y="26">Layers: each imports only from those below</text>',
            f'<text class="title" x="{STACK + 40}" y="26">The data\'s way, from a file and a photo</text>',
            *body,
            _way(heights),
            "</svg>\n",
        ]
    )


def _layer(layer: Layer, y: int) -> str:
    width = (STACK - GAP * (len(layer.rooms) + 1)) / len(layer.rooms)
    return "\n".join(_room(room, GAP + i * (width + GAP), y, width) for i, room in enumerate(layer.rooms))


def _room(room: str, x: float, y: int, width: float) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - GAP}" rx="5"/>'
        f'<text class="name" x="{x + 10:.1f}" y="{y + 17}">{room}</text>'
        f'<text x="{x + 10:.1f}" y="{y + 34}">{escape(ROOMS[room])}</text>'
    )


def _way(heights: dict[str, int]) -> str:
    x, radius = STACK + 40, 11
    middles = [heights[room] + (ROW - GAP) / 2 for room, _ in WAY]
    arrow = f"l -4 8 m 4 -8 l 4 8 M {x} {middles[-1] + radius}"
    parts = [f'<path d="M {x} {middles[0]} L {x} {middles[-1] + radius} {arrow}"/>']
    for number, ((room, text), y) in enumerate(zip(WAY, middles, strict=True), start=1):
        parts.append(f'<path d="M {STACK} {y} L {x - radius} {y}"/>')
        parts.append(f'<circle cx="{x}" cy="{y}" r="{radius}"/>')
        parts.append(f'<text class="number" x="{x}" y="{y + 4.5}">{number}</text>')
        parts.append(f'<text x="{x + 22}" y="{y + 4.5}"><tspan class="name">{room}</tspan>: {escape(text)}</text>')
    return "\n".join(parts)


def to_table(layers: list[Layer]) -> str:
    rows = ["| layer | what it is |", "|---|---|"]
    for layer in layers:
        names = ", ".join(f"`{room}`" for room in layer.rooms)
        rows.append(f"| {names} | {'; '.join(ROOMS[room] for room in layer.rooms)} |")
    return "\n".join(rows)


def with_table(page: str, table: str) -> str:
    """The page with the table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.partition(END)[2]}"


def main(arguments: list[str]) -> int:
    layers = read_layers()
    wanted = {PICTURE: to_svg(layers), PAGE: with_table(PAGE.read_text(encoding="utf-8"), to_table(layers))}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{path.relative_to(REPOSITORY)} {'is stale' if '--check' in arguments else 'written'}")
        if "--check" not in arguments:
            path.write_text(wanted[path], encoding="utf-8")
    return int("--check" in arguments and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
