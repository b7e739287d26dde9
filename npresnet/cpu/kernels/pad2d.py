"""pad2d: a map copied into a larger one, with a border of zeros or of its own rows and columns in reverse."""

from __future__ import annotations

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels.activations import activate
from npresnet.cpu.kernels.lowering import Bound, Lowering
from npresnet.cpu.runtime.memory import MIN_TILE_FLOATS, Floats, Memory, split
from npresnet.ops.pad2d import border_of
from npresnet.plan.steps import Call, Tile


class Pad2dLowering(Lowering):
    """Bands of the map's rows; the first and the last band also write the rows above and below."""

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node = bound.node
        height, width, _ = memory.images(node.inputs[0])[0].shape
        left, right, top, bottom = border_of(node.attrs, (height, width))
        reflects = node.attrs.get("mode", "zeros") == "reflect"
        tiles: list[Tile] = []
        for source, out in zip(memory.images(node.inputs[0]), memory.images(node.name), strict=True):
            for first, last in split(height, source.size // MIN_TILE_FLOATS):
                calls = _rows(source[first:last], out[top + first : top + last], left, right, reflects)
                done = [top + first, top + last]
                if first == 0:
                    above = source[1 : top + 1][::-1] if reflects else None
                    calls += _rows(above, out[:top], left, right, reflects)
                    done[0] = 0
                if last == height:
                    below = source[height - 1 - bottom : height - 1][::-1] if reflects else None
                    calls += _rows(below, out[top + height :], left, right, reflects)
                    done[1] = len(out)
                band = out[slice(*done)]
                tiles.append((*calls, *activate(node, memory, band, band)))
        return tiles


def _rows(source: Floats | None, out: Floats, left: int, right: int, reflects: bool) -> list[Call]:
    """The calls that write whole rows (h, left + W + right, C) of the result from (h, W, C), or zeros from None."""
    if not out.size:
        return []
    if source is None:
        return [(kernels.copy, (0.0, out))]
    width = source.shape[1]
    calls: list[Call] = [(kernels.copy, (source, out[:, left : left + width]))]
    before = source[:, 1 : left + 1][:, ::-1] if reflects else 0.0
    after = source[:, width - 1 - right : width - 1][:, ::-1] if reflects else 0.0
    for pixels, border in ((before, out[:, :left]), (after, out[:, left + width :])):
        if border.size:
            calls.append((kernels.copy, (pixels, border)))
    return calls
