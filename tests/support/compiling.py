"""Whether a kernel file compiles as required: no warnings, no spills, the instructions declared in its header.

Each declared instruction must be in some kernel of the file, and where tensor cores are declared (HMMA, HGMMA) each
kernel must contain one of those: a form for ragged channels may load single numbers, but not multiply them one by one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from npresnet.cuda.runtime import nvrtc, source
from npresnet.errors import DeviceError
from tests.support import sass

DISASSEMBLED = 13  # the CUDA version whose machine code is always disassembled


class Target(NamedTuple):
    """One compilation of a file: `element` is "" where the source has none."""

    element: str
    architecture: str

    def __str__(self) -> str:
        return f"{self.element} {self.architecture}".strip()


def targets(file: str, root: Path | None = None) -> list[Target]:
    """All targets in the file's header."""
    header = source.header(file, root)
    return [Target(element, arch) for element in header.elements or ("",) for arch in header.architectures]


def share(file: str, major: int, *, everything: bool) -> list[Target]:
    """A compiler's part of a file's targets: every second one, 12 and 13 taking turns, so that each is compiled once.

    `everything` gives all of them to both, which takes minutes.
    """
    return [target for number, target in enumerate(targets(file)) if everything or number % 2 == major % 2]


def problems(file: str, major: int, root: Path | None = None, chosen: list[Target] | None = None) -> list[str]:
    """The problems of a file with the NVRTC of this CUDA, one line each; [] without any.

    chosen  by default all targets of the file
    """
    chosen = targets(file, root) if chosen is None else chosen
    text = source.read(file, root)
    header = source.header(file, root)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # NVRTC neither holds the GIL nor a lock of its own
        found = pool.map(lambda target: list(_problems(text, file, header, target, major)), chosen)
        return [f"{target}: {one}" for target, of in zip(chosen, found, strict=True) for one in of]


def _problems(text: str, file: str, header: source.Header, target: Target, major: int) -> Iterator[str]:
    try:
        compiled = nvrtc.compile(text, file, target.architecture, sass.defines(target.element), major=major)
    except DeviceError as error:
        yield str(error)
        return
    log = nvrtc.parse_log(compiled.log)
    yield from log.warnings
    if not log.kernels:
        yield "the file holds no kernel"
    for kernel, usage in log.kernels.items():
        if usage.spill_bytes or usage.stack_bytes:
            yield f"{kernel} spills {usage.spill_bytes} bytes and keeps {usage.stack_bytes} in local memory ({usage})"
    wanted = [name for expected in header.expects if expected.holds_for(*target) for name in expected.instructions]
    # to disassemble takes longer than to compile, so only tensor cores are looked for in both compilers' code
    if wanted and (major == DISASSEMBLED or any("MMA" in name for name in wanted)):
        yield from _absent(sass.disassemble(compiled.cubin), wanted)


def _absent(kernels: sass.Instructions, wanted: list[str]) -> Iterator[str]:
    for name in wanted:
        if not any(sass.holds(counts, name) for counts in kernels.values()):
            yield f"no kernel holds {name}"
    products = [name for name in wanted if "MMA" in name]
    for kernel, counts in kernels.items():
        if products and not any(sass.holds(counts, name) for name in products):
            yield f"{kernel} holds no {' or '.join(products)}"
