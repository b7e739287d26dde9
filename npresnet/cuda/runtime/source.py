"""The text of a CUDA source: its includes put in, its header's machine-readable lines read.

NVRTC and the tests' emulator both get one text without any include path, so a kernel is the same program in both.

    // Architectures: sm_80 sm_86 sm_90a                 what it is compiled for
    // Elements: FLOAT16 BFLOAT16                        values of -DELEMENT=; "none" where the source has no ELEMENT
    // Expects: FLOAT16 sm_80: HMMA.16816.F32 LDSM       SASS instructions that must appear; "all": everywhere
    // Expects: all sm_90a: fence.mbarrier_init          in lower case PTX's, for what leaves no trace in SASS
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from npresnet.errors import DeviceError
from npresnet.system.kernel_root import kernel_root

_INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+)"')
_PRAGMA_ONCE = re.compile(r"\s*#\s*pragma\s+once\b")
_ARCHITECTURE = re.compile(r"sm_\d+a?")
_FIELD = re.compile(r"//\s*(Architectures|Elements|Expects):\s*(.*)")


class Expectation(NamedTuple):
    """Instructions that the compiled kernel must hold.

    element       "FLOAT16", or "all"
    architecture  "sm_80", or "all"
    instructions  beginnings of instructions, of SASS ("HMMA.16816.F32", "LDSM") or PTX ("fence.mbarrier_init")
    """

    element: str
    architecture: str
    instructions: tuple[str, ...]

    def holds_for(self, element: str, architecture: str) -> bool:
        """Whether it speaks of this compilation; `element` is "" where the source has none."""
        return self.element in ("all", element) and self.architecture in ("all", architecture)


class Header(NamedTuple):
    """What a source says of itself. `elements` is empty where the source has no ELEMENT."""

    architectures: tuple[str, ...]
    elements: tuple[str, ...]
    expects: tuple[Expectation, ...]


def sources(root: Path | None = None) -> list[str]:
    """Every translation unit below `kernels/`: ["conv2d/direct.cu", ...], sorted."""
    folder = root or kernel_root()
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.cu"))


def read(file: str, root: Path | None = None) -> str:
    """`file` with every `#include "..."` replaced by what it names, each file once, at its first include.

    #line directives keep the real file and line in a compiler's messages. An include counts even inside a false #if.
    Raises DeviceError for a file that is missing, lies outside `kernels/`, or includes itself.
    """
    folder = (root or kernel_root()).resolve()
    return "\n".join(_flatten(folder, folder / file, (), set())) + "\n"


def header(file: str, root: Path | None = None) -> Header:
    """The machine-readable lines of `file`. Raises DeviceError where they are missing or make no sense."""
    folder = root or kernel_root()
    fields: dict[str, list[str]] = {"Architectures": [], "Elements": [], "Expects": []}
    for line in _lines(folder, folder / file, ()):
        if match := _FIELD.match(line):
            fields[match[1]].append(match[2].strip())
    for name in ("Architectures", "Elements"):
        if len(fields[name]) != 1 or not fields[name][0]:
            raise DeviceError(f"{file} should have one line '// {name}: ...' in its header")
    architectures = tuple(fields["Architectures"][0].split())
    if wrong := [name for name in architectures if not _ARCHITECTURE.fullmatch(name)]:
        raise DeviceError(f"{file} names the architecture {wrong[0]!r}; they are called sm_80, sm_90a and so on")
    elements = () if fields["Elements"][0] == "none" else tuple(fields["Elements"][0].split())
    return Header(architectures, elements, tuple(_expectation(file, text) for text in fields["Expects"]))


def _expectation(file: str, text: str) -> Expectation:
    """'FLOAT16 sm_80: HMMA LDSM' -> Expectation; 'sm_80: HMMA' speaks of all elements."""
    subject, colon, instructions = text.partition(":")
    words = subject.split()
    if not colon or not instructions.split() or len(words) not in (1, 2):
        raise DeviceError(
            f"{file} should say '// Expects: <element> <architecture or all>: <instructions>', not {text!r}"
        )
    element, architecture = words if len(words) == 2 else ("all", words[0])
    return Expectation(element, architecture, tuple(instructions.split()))


def _flatten(folder: Path, path: Path, stack: tuple[Path, ...], done: set[Path]) -> list[str]:
    """The lines of `path`; `stack` holds the files that are being read, `done` those that were put in already."""
    if path in stack:
        raise DeviceError("CUDA sources include each other: " + " -> ".join(p.name for p in (*stack, path)))
    if path in done:
        return []
    done.add(path)
    text = _lines(folder, path, stack)
    name = path.relative_to(folder).as_posix()
    lines = [f'#line 1 "{name}"']
    for number, line in enumerate(text, start=1):
        if match := _INCLUDE.match(line):
            included = Path(path.parent / match[1]).resolve()
            lines += [*_flatten(folder, included, (*stack, path), done), f'#line {number + 1} "{name}"']
        else:
            lines.append("" if _PRAGMA_ONCE.match(line) else line)
    return lines


def _lines(folder: Path, path: Path, stack: tuple[Path, ...]) -> list[str]:
    """A file of `kernels/`. Raises DeviceError, naming who asked for it."""
    asked = f", which {stack[-1].name} includes," if stack else ""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DeviceError(f"the CUDA source {path}{asked} lies outside {folder}")
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DeviceError(f"the CUDA source {path}{asked} cannot be read: {error}") from error
