"""The machine instructions (SASS) in a cubin, read by NVIDIA's nvdisasm; and a summary of one compiled kernel file.

    python -m tests.support.sass conv2d/mma.cu --element FLOAT16 --arch sm_80 --cuda 12

prints registers, spills, warnings and the instructions of every kernel of the file.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from npresnet.cuda.runtime import nvrtc, source

Instructions = dict[str, Counter]  # {kernel: {instruction: how often}}

_SECTION = re.compile(r"^//-+ \.text\.(\S+)")
_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)")


def find_disassembler() -> str | None:
    """nvdisasm of the wheel nvidia-cuda-nvdisasm, or of a CUDA toolkit."""
    spec = importlib.util.find_spec("nvidia")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for path in Path(root).glob("*/bin/nvdisasm"):
            return str(path)
    return shutil.which("nvdisasm")


def disassemble(cubin: bytes) -> Instructions:
    """How often each kernel of a cubin contains each instruction, by its full name: HMMA.16816.F32."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [find_disassembler(), "--print-code", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return parse(text)


def parse(text: str) -> Instructions:
    """nvdisasm's listing -> instructions of each kernel."""
    kernels: Instructions = {}
    counts: Counter = Counter()
    for line in text.splitlines():
        if match := _SECTION.match(line):
            counts = kernels.setdefault(match[1], Counter())
        elif match := _INSTRUCTION.match(line):
            counts[match[1]] += 1
    return kernels


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
            for kernel, counts in sorted(disassemble(compiled.cubin).items()):
                print(f"  {kernel}: {log.kernels.get(kernel)}")
                print("    " + " ".join(f"{name}:{count}" for name, count in counts.most_common(24)))


if __name__ == "__main__":
    main()
