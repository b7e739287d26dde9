"""What a kernel touched, seen as a GPU sees it: warps, 32-byte sectors of global memory, banks of shared memory.

The 32 threads of a warp execute a load together. Global memory answers in sectors of 32 bytes, so the load costs as
many sectors as its addresses fall into: 4 for 32 neighbouring float32, 32 where each is far from the others. Shared
memory has 32 banks, each one 4-byte word wide; threads that want different words of one bank wait for each other.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

WARP = 32
SECTOR_BYTES = 32
BANKS, WORD_BYTES = 32, 4


class Access(NamedTuple):
    """One element touched by one thread.

    array        its name; `shared` tells which kind of memory; `cell` counts elements from the array's start
    instruction  (line of the kernel, how often this thread touched the array there before): where all threads of a warp
                 agree in it, they make one load or store
    """

    array: str
    shared: bool
    item_bytes: int
    cell: int
    writes: bool
    block: int
    thread: int
    instruction: tuple[int, int]


class WarpAccess(NamedTuple):
    """One instruction of one warp: `cells` by lane (0 to 31); lanes that sat out are missing."""

    array: str
    shared: bool
    item_bytes: int
    writes: bool
    line: int
    cells: dict[int, int]

    @property
    def sectors(self) -> list[int]:
        """The 32-byte sectors touched, counted from the array's start (arrays begin on a sector's edge)."""
        return sorted({cell * self.item_bytes // SECTOR_BYTES for cell in self.cells.values()})

    @property
    def least_sectors(self) -> int:
        """How few sectors could hold as many different elements."""
        return -(-len(set(self.cells.values())) * self.item_bytes // SECTOR_BYTES)

    @property
    def turns(self) -> int:
        """Shared memory: how many different words the busiest bank must give; 1 is free of conflicts."""
        words = {cell * self.item_bytes // WORD_BYTES for cell in self.cells.values()}
        wanted: dict[int, int] = defaultdict(int)
        for word in words:
            wanted[word % BANKS] += 1
        return max(wanted.values())


class Line(NamedTuple):
    """All that one line of the kernel does to one array."""

    line: int
    array: str
    shared: bool
    writes: bool
    warps: int  # warp accesses
    cost: int  # sectors of global memory, turns of shared memory
    least: int  # the same at best


class Run(NamedTuple):
    """A finished launch: what was touched, in order."""

    kernel: str
    accesses: list[Access]

    def warps(self) -> list[WarpAccess]:
        """The accesses as warps make them: one for each instruction that a warp executes."""
        grouped: dict[tuple[object, ...], WarpAccess] = {}
        for access in self.accesses:
            warp, lane = divmod(access.thread, WARP)
            key = (access.block, warp, access.array, access.writes, access.instruction)
            if key not in grouped:
                array, shared, item_bytes = access.array, access.shared, access.item_bytes
                grouped[key] = WarpAccess(array, shared, item_bytes, access.writes, access.instruction[0], {})
            grouped[key].cells[lane] = access.cell
        return list(grouped.values())

    def lines(self) -> list[Line]:
        """A Line for each line of the kernel and array that it touches, in the kernel's order."""
        grouped: dict[tuple[int, str, bool, bool], list[WarpAccess]] = defaultdict(list)
        for warp in self.warps():
            grouped[warp.line, warp.array, warp.shared, warp.writes].append(warp)
        found = []
        for (line, array, shared, writes), warps in sorted(grouped.items()):
            cost = sum(warp.turns if shared else len(warp.sectors) for warp in warps)
            least = len(warps) if shared else sum(warp.least_sectors for warp in warps)
            found.append(Line(line, array, shared, writes, len(warps), cost, least))
        return found

    @property
    def sectors(self) -> int:
        """32-byte sectors of global memory read and written by the whole launch."""
        return sum(line.cost for line in self.lines() if not line.shared)

    def __str__(self) -> str:
        rows = [f"{self.kernel}: {self.sectors} sectors of {SECTOR_BYTES} bytes, loads and stores of global memory"]
        for line in self.lines():
            what = (
                f"line {line.line:4d}  {'stores' if line.writes else 'loads '} {line.array:8s} by {line.warps:5d} warps"
            )
            unit = "turns of shared memory" if line.shared else "sectors"
            rows.append(f"{what}  {line.cost:6d} {unit}, at best {line.least}")
        return "\n".join(rows)
