"""Whether the kernel files compile as they should: no warning, no spill, the instructions that their headers promise.

Each promised instruction must be in some kernel of the file, and where tensor cores are promised (HMMA, HGMMA) each
kernel must hold one of those: a form for ragged channels may load single numbers, but not multiply them one by one. An
instruction in lower case is PTX's: the compiler makes nothing of fence.mbarrier_init, and puts a WARPGROUP.ARRIVE where
wgmma.fence was forgotten.

Every program is compiled for one architecture of each family (`tests.support.programs`), by CUDA's two compilers in
turn: `first_turns`. The others that the headers name, and what the other compiler would have yet to see, are
`second_turns`. Nothing is in both.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from npresnet.cuda.runtime import nvrtc, source
from npresnet.errors import DeviceError
from tests.support import programs, sass

MAJORS = (12, 13)  # the versions of CUDA whose NVRTC is installed: 12.9 and 13.0


class Compilation(NamedTuple):
    """A file for one architecture: `element` is "" where it has none, `major` tells the compiler by its CUDA."""

    file: str
    element: str
    architecture: str
    major: int

    def __str__(self) -> str:
        return " ".join(part for part in (self.file, self.element, self.architecture, f"CUDA {self.major}") if part)


def first_turns(file: str, root: Path | None = None) -> list[Compilation]:
    """The first architecture of each family, for each element."""
    return [Compilation(file, *family[0], major) for family, (major, _) in _families(file, root)]


def second_turns(file: str, root: Path | None = None) -> list[Compilation]:
    """The families' other members, the first of them by the other compiler; one without any by itself once more."""
    return [
        Compilation(file, *target, major)
        for family, majors in _families(file, root)
        for target, major in zip(family[1:] or family, itertools.cycle(reversed(majors)))
    ]


def _families(file: str, root: Path | None) -> Iterator[tuple[list[programs.Target], tuple[int, int]]]:
    """Targets of one element and family of architectures, and the compilers in the order of their turns."""
    found: dict[tuple, list[programs.Target]] = {}
    for target in programs.targets(file, root):
        found.setdefault((target.element, programs.family(file, target.architecture, root)), []).append(target)
    return zip(found.values(), itertools.cycle((MAJORS, MAJORS[::-1])))


def problems(compilations: Iterable[Compilation], root: Path | None = None) -> list[str]:
    """What is wrong with each, a line each; [] where all is well."""
    work = sorted(compilations, key=lambda one: one.architecture)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # NVRTC neither holds the GIL nor a lock of its own
        compiled = list(pool.map(lambda one: _compile(one, root), work))
    found = []
    for architecture, group in groupby(zip(work, compiled, strict=True), key=lambda pair: pair[0].architecture):
        members = list(group)
        cubins = [made.cubin for _, made in members if isinstance(made, nvrtc.Compiled)]
        codes = iter(sass.disassemble(cubins, architecture))
        for one, made in members:
            told = [made] if isinstance(made, str) else _problems(one, made, next(codes), root)
            found += [f"{one}: {problem}" for problem in told]
    return found


def _compile(one: Compilation, root: Path | None) -> nvrtc.Compiled | str:
    """What the compiler made, or what it said."""
    text, macros = source.read(one.file, root), sass.defines(one.element)
    try:
        return nvrtc.compile(text, one.file, one.architecture, macros, major=one.major)
    except DeviceError as error:
        return str(error)


def _problems(one: Compilation, made: nvrtc.Compiled, code: sass.Instructions, root: Path | None) -> Iterator[str]:
    log = nvrtc.parse_log(made.log)
    yield from log.warnings
    if not log.kernels:
        yield "the file holds no kernel"
    for kernel, usage in log.kernels.items():
        if usage.spill_bytes or usage.stack_bytes:
            yield f"{kernel} spills {usage.spill_bytes} bytes and keeps {usage.stack_bytes} in local memory ({usage})"
    expects = source.header(one.file, root).expects
    wanted = [expected for expected in expects if expected.holds_for(one.element, one.architecture)]
    names = [name for expected in wanted for name in expected.instructions]
    yield from _absent(code, [name for name in names if not name.islower()])
    yield from (f"its PTX holds no {name}" for name in names if name.islower() and not _in_ptx(name, made.ptx.decode()))
    yield from _registers_waited_for(made.ptx.decode(), log)


def _in_ptx(name: str, ptx: str) -> bool:
    return re.search(rf"^\s*{re.escape(name)}\b", ptx, re.MULTILINE) is not None


def _registers_waited_for(ptx: str, log: nvrtc.CompileLog) -> Iterator[str]:
    """Kernels whose first warpgroup hands over fewer registers than the others ask for: they would wait for ever."""
    for entry in ptx.split(".entry ")[1:]:
        kernel, _, body = entry.partition("(")
        handed = re.findall(r"setmaxnreg\.(?:dec|inc)\S* (\d+)", body)
        threads = re.search(r"\.maxntid (\d+)", body)
        if not handed or not threads:
            continue
        kept, wanted = sorted(map(int, handed))
        others, held = int(threads[1]) // 128 - 1, log.kernels[kernel].registers
        if kept + others * wanted > (others + 1) * held:
            yield f"{kernel} begins with {others + 1} x {held} registers and asks for {kept} + {others} x {wanted}"


def _absent(kernels: sass.Instructions, wanted: Sequence[str]) -> Iterator[str]:
    for name in wanted:
        if not any(sass.holds(counts, name) for counts in kernels.values()):
            yield f"no kernel holds {name}"
    products = [name for name in wanted if "MMA" in name]
    for kernel, counts in kernels.items():
        if products and not any(sass.holds(counts, name) for name in products):
            yield f"{kernel} holds no {' or '.join(products)}"
