"""A GPU without a GPU: a kernel is a Python function, a thread is a generator, and `yield` is the barrier.

    def reverse(cuda, x, y):
        S = cuda.shared("S", 32)
        i = cuda.threadIdx.x
        S[i] = x[i]
        yield                                  # __syncthreads(): nobody goes on before all are here
        y[i] = S[31 - i]

    run = launch(reverse, x, y, grid=1, block=32)
    print(run)                                 # each load and store, with the 32-byte sectors that it touches

Threads run one after another from barrier to barrier, so that a kernel always gives the same result. What would make it
give another one on a GPU is an error here, though no result was wrong: two threads of a block that touch one cell
between two barriers, one of them writing (a missing barrier); the same between blocks, which no barrier separates; a
barrier that some threads of a block never reach. An index outside an array is one too, negative indices included.

CUDA C++ Programming Guide, "SIMT Architecture", "Synchronization Functions", "Device Memory Accesses".
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from npresnet.errors import NpresnetError
from npresnet.network import Array
from npresnet.teach.accesses import WARP, Access, Run

Dim = int | Sequence[int]
OVERWRITTEN, UNWRITTEN, READ_TOO_SOON = 1, 2, 3  # hazards, the most telling last
Moment = tuple[int, int, int]  # block, thread, barriers passed


class KernelError(NpresnetError, RuntimeError):
    """A kernel that would go wrong on a GPU, at least sometimes."""


class Dim3(NamedTuple):
    """CUDA's dim3 and uint3."""

    x: int = 1
    y: int = 1
    z: int = 1

    @property
    def total(self) -> int:
        """How many there are."""
        return self.x * self.y * self.z

    def at(self, number: int) -> Dim3:
        """The position of the number-th thread or block: x runs fastest."""
        return Dim3(number % self.x, number // self.x % self.y, number // (self.x * self.y))


class Memory:
    """An array that notes who touches it. Index it as its shape says; `S[i, j]` and `S[i][j]` are not the same here."""

    def __init__(self, name: str, values: Array, machine: Machine, *, shared: bool):
        self.name, self.values, self.shared = name, values, shared
        self._machine = machine
        self._writer: dict[int, Moment] = {}  # cell -> who wrote it last
        self._readers: dict[int, set[Moment]] = {}  # cell -> who read it since

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def __getitem__(self, index: Any) -> Any:
        cell = self._touch(index, writes=False)
        return self.values.flat[cell].item()

    def __setitem__(self, index: Any, value: Any) -> None:
        self.values.flat[self._touch(index, writes=True)] = value

    def _touch(self, index: Any, *, writes: bool) -> int:
        """Check and note one access; returns the cell, which counts elements from the start."""
        place = index if isinstance(index, tuple) else (index,)
        does, label = ("writes" if writes else "reads"), f"{self.name}[{', '.join(map(str, place))}]"
        if len(place) != self.values.ndim or not all(0 <= i < n for i, n in zip(place, self.shape, strict=True)):
            raise KernelError(f"{self._machine.thread} {does} {label}, but {self.name} has the shape {self.shape}")
        cell = int(np.ravel_multi_index([int(i) for i in place], self.shape))
        if self.shared and not writes and cell not in self._writer:
            self._machine.found(UNWRITTEN, f"{self._machine.thread} reads {label}, which nobody has written yet")
        self._check_race(cell, f"{does} {label}", writes)
        self._machine.note(self, cell, writes)
        return cell

    def _check_race(self, cell: int, does: str, writes: bool) -> None:
        """Two threads, one cell, one of them writing, and no barrier in between."""
        block, thread, barriers = now = self._machine.moment
        others = [(self._writer[cell], "wrote")] if cell in self._writer else []
        if writes:
            others += [(reader, "read") for reader in self._readers.get(cell, ())]
        for (other_block, other, passed), did in others:
            if other_block != block:
                raise KernelError(
                    f"block {block} {does}, which block {other_block} {did}: no barrier separates blocks, they run in "
                    "any order. Let each block keep to cells of its own, or launch two kernels"
                )
            if other != thread and passed == barriers:
                text = f"thread {thread} {does}, which thread {other} {did} since the last barrier"
                self._machine.found(OVERWRITTEN if writes else READ_TOO_SOON, text)
        if writes:
            self._writer[cell] = now
            self._readers.pop(cell, None)
        else:
            self._readers.setdefault(cell, set()).add(now)


class Cuda:
    """What a thread knows: threadIdx, blockIdx, blockDim, gridDim, and its block's shared memory."""

    def __init__(self, machine: Machine, block_dim: Dim3, grid_dim: Dim3, block: int, thread: int):
        self.blockDim, self.gridDim = block_dim, grid_dim
        self.blockIdx, self.threadIdx = grid_dim.at(block), block_dim.at(thread)
        self._machine = machine

    def shared(self, name: str, shape: Dim, dtype: Any = np.float32) -> Memory:
        """The block's `__shared__` array of that name: the same for all its threads, unset at first."""
        return self._machine.shared_array(name, shape, np.dtype(dtype))


class Machine:
    """Runs the threads of a launch one after another and keeps the notes."""

    def __init__(self) -> None:
        self.accesses: list[Access] = []
        self.barriers = 0
        self._place = (0, 0)
        self._hazards: list[tuple[int, str]] = []
        self._seen: dict[tuple[Any, ...], int] = {}
        self._shared: dict[str, Memory] = {}

    @property
    def thread(self) -> str:
        """The running thread, as errors call it."""
        return f"thread {self._place[1]}" + (f" of block {self._place[0]}" if self._place[0] else "")

    @property
    def moment(self) -> Moment:
        """Who is running, and after how many barriers."""
        return (*self._place, self.barriers)

    def note(self, memory: Memory, cell: int, writes: bool) -> None:
        """Remember an access, and which instruction made it: the same one of all threads of a warp is one load."""
        line = sys._getframe(3).f_lineno  # note <- _touch <- __getitem__ <- the kernel
        key = (*self._place, memory.name, writes, line)
        times = self._seen[key] = self._seen.get(key, -1) + 1
        instruction = (line, times)
        item_bytes = memory.values.itemsize
        self.accesses.append(Access(memory.name, memory.shared, item_bytes, cell, writes, *self._place, instruction))

    def shared_array(self, name: str, shape: Dim, dtype: np.dtype[Any]) -> Memory:
        if name not in self._shared:
            rubbish = np.nan if dtype.kind == "f" else 0
            self._shared[name] = Memory(name, np.full(shape, rubbish, dtype), self, shared=True)
        return self._shared[name]

    def found(self, weight: int, text: str) -> None:
        """A hazard; of those between two barriers the weightiest is told, and of equals the last."""
        self._hazards.append((weight, text))

    def run_block(self, block: int, threads: Sequence[Callable[[], Any]]) -> None:
        """Every thread to the next barrier, then all over it, until all have ended."""
        self._shared, self.barriers = {}, 0
        running: dict[int, Generator[Any, Any, Any]] = {}
        with self._hazards_told():
            for number, start in enumerate(threads):
                self._place = (block, number)
                started = start()  # a plain function has no barrier and has run by now
                if inspect.isgenerator(started):
                    running[number] = started
        while running:
            with self._hazards_told():
                ended = [number for number in running if self._advance(block, number, running[number])]
            for number in ended:
                del running[number]
            if running and ended:
                raise KernelError(
                    f"thread {min(running)} waits at a barrier that thread {ended[0]} never reaches: it has ended. "
                    "Every thread of a block must come to every barrier, so put no `yield` under an `if` that some skip"
                )
            self.barriers += 1

    def _advance(self, block: int, number: int, thread: Generator[Any, Any, Any]) -> bool:
        """To the next barrier, or to the end: True."""
        self._place = (block, number)
        return next(thread, self) is self

    @contextmanager
    def _hazards_told(self) -> Iterator[None]:
        """A hazard explains what went wrong after it, so it comes before other errors."""
        try:
            yield
        finally:
            if self._hazards:
                weight, text = max(reversed(self._hazards), key=lambda hazard: hazard[0])
                why = (
                    "Shared memory starts as rubbish, and only a barrier (`yield`) waits for other threads"
                    if weight == UNWRITTEN
                    else "On a GPU either thread may come first: a barrier (`yield`) is missing between the two"
                )
                raise KernelError(f"{text}. {why}") from None


def launch(kernel: Callable[..., Any], *args: Any, grid: Dim = 1, block: Dim = WARP) -> Run:
    """Run `kernel(cuda, *args)` once for every thread of every block.

    kernel  a function, or a generator function whose every `yield` is a barrier for its block
    args    arrays are global memory, named as the kernel's parameters, changed in place; others pass as they are
    grid, block  how many blocks, and threads a block (at most 1024): a number, or x, y, z

    Returns a Run, which knows every access. Raises KernelError, as this module's head says.
    """
    machine, grid_dim, block_dim = Machine(), _dim3(grid), _dim3(block)
    if not 1 <= block_dim.total <= 1024:
        raise KernelError(f"a block has 1 to 1024 threads, not {block_dim.total}")
    names = list(inspect.signature(kernel).parameters)[1:]
    given = [
        Memory(name, value, machine, shared=False) if isinstance(value, np.ndarray) else value
        for name, value in zip(names, args, strict=True)
    ]
    for number in range(grid_dim.total):
        threads = [Cuda(machine, block_dim, grid_dim, number, thread) for thread in range(block_dim.total)]
        machine.run_block(number, [lambda cuda=cuda: kernel(cuda, *given) for cuda in threads])  # type: ignore[misc]
    return Run(kernel.__name__, machine.accesses)


def _dim3(dim: Dim) -> Dim3:
    return Dim3(int(dim)) if isinstance(dim, (int, np.integer)) else Dim3(*map(int, dim))
