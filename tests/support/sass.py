"""The machine instructions (SASS) in cubins, read by NVIDIA's nvdisasm; and what one compiled kernel file comes to.

    python -m tests.support.sass conv2d/mma.cu --element FLOAT16 --arch sm_80 --cuda 12

prints registers, spills, warnings and the instructions of every kernel of the file.
"""

from __future__ import annotations

import argparse
import bisect
import importlib.util
import itertools
import re
import shutil
import struct
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from npresnet.cuda.runtime import nvrtc, source

Instructions = dict[str, Counter]  # {kernel: {instruction: how often}}

_TEXT = ".text."  # a section of a kernel's code is called .text.NAME
_INSTRUCTION = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)")


def find_disassembler() -> str | None:
    """nvdisasm of the wheel nvidia-cuda-nvdisasm, or of a CUDA toolkit."""
    spec = importlib.util.find_spec("nvidia")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for path in Path(root).glob("*/bin/nvdisasm"):
            return str(path)
    return shutil.which("nvdisasm")


def disassemble(cubins: Sequence[bytes], architecture: str) -> list[Instructions]:
    """How often each kernel of each cubin holds each instruction, full name: HMMA.16816.F32.

    The code of all of them goes through nvdisasm as one: its start takes as long as a hundred thousand instructions.
    """
    kernels = [
        (number, name, code) for number, cubin in enumerate(cubins) for name, code in kernel_codes(cubin).items()
    ]
    found: list[Instructions] = [{} for _ in cubins]
    if not kernels:
        return found
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        file.write(b"".join(code for _, _, code in kernels))
        file.flush()
        command = [find_disassembler(), "--binary", architecture.replace("sm_", "SM")]
        text = subprocess.run([*command, "--no-dataflow", file.name], capture_output=True, text=True, check=True).stdout
    sizes = [len(code) for _, _, code in kernels]
    for (number, name, _), counts in zip(kernels, parse(text, sizes), strict=True):
        found[number][name] = counts
    return found


def kernel_codes(cubin: bytes) -> dict[str, bytes]:
    """{kernel: its machine code}, off the sections of the ELF file that a cubin is (64 bits, little-endian)."""
    (table,) = struct.unpack_from("<Q", cubin, 40)
    entry_bytes, count, names = struct.unpack_from("<HHH", cubin, 58)
    # a section's header begins: name (an offset among the names), type, flags, address, offset, size
    headers = [struct.unpack_from("<IIQQQQ", cubin, table + number * entry_bytes) for number in range(count)]
    codes = {}
    for name_offset, _, _, _, offset, size in headers:
        start = headers[names][4] + name_offset
        name = cubin[start : cubin.index(b"\0", start)].decode()
        if name.startswith(_TEXT):
            codes[name.removeprefix(_TEXT)] = cubin[offset : offset + size]
    return codes


def parse(text: str, sizes: Sequence[int]) -> list[Counter]:
    """nvdisasm's listing of code of these sizes in bytes, one after the other -> the instructions of each."""
    ends = list(itertools.accumulate(sizes))
    found: list[Counter] = [Counter() for _ in sizes]
    for line in text.splitlines():
        if match := _INSTRUCTION.match(line):
            found[bisect.bisect_right(ends, int(match[1], 16))][match[2]] += 1
    return found


def holds(counts: Counter, instruction: str) -> bool:
    """Whether an instruction begins with the words of this one: HMMA.16816 stands for HMMA.16816.F32, HMMA.168 not."""
    return any(name == instruction or name.startswith(f"{instruction}.") for name in counts)


def defines(element: str) -> tuple[tuple[str, str], ...]:
    """The macros to compile a source for this element, "" for sources without one."""
    return (("ELEMENT", element),) if element else ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="below kernels/: conv2d/mma.cu")
    parser.add_argument("--element", action="append", help="default: all that the file's header names")
    parser.add_argument("--arch", action="append", help="default: all that the file's header names")
    parser.add_argument("--cuda", type=int, choices=(12, 13), help="whose NVRTC; default: the newest")
    arguments = parser.parse_args()
    file = arguments.file.removeprefix("kernels/")
    header = source.header(file)
    for element in arguments.element or header.elements or ("",):
        for architecture in arguments.arch or header.architectures:
            compiled = nvrtc.compile(source.read(file), file, architecture, defines(element), major=arguments.cuda)
            print(f"{file} {element} {architecture}: {len(compiled.cubin):,} bytes")
            log = nvrtc.parse_log(compiled.log)
            for line in log.warnings:
                print(f"  WARNING {line}")
            for kernel, counts in sorted(disassemble([compiled.cubin], architecture)[0].items()):
                print(f"  {kernel}: {log.kernels.get(kernel)}")
                print("    " + " ".join(f"{name}:{count}" for name, count in counts.most_common(24)))


if __name__ == "__main__":
    main()
