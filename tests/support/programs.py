"""Which compilations of a kernel file can differ, read off its text.

An ELEMENT that no line tests makes the program of every other such element: add.cu in TF32 is add.cu in FLOAT32. And
architectures of one generation (sm_80, sm_86, sm_89) that pass the same tests of __CUDA_ARCH__ are one family: the
same program, the same instructions. Where the text does anything else with these macros nothing is taken for equal.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from npresnet.cuda.runtime import source

_COMMENT = re.compile(r"//[^\n]*|/\*[\s\S]*?\*/")
_ELEMENT_TEST = re.compile(r"\bELEMENT\s*[!=]=\s*(\w+)")
_ARCHITECTURE_TEST = re.compile(r"\b__CUDA_ARCH__\s*(?:>=|<)\s*(\d+)|\bdefined\s*\(?\s*__CUDA_ARCH__\b")
_FEATURES = "__CUDA_ARCH_FEAT_SM90_ALL"  # defined for sm_90a, not for sm_90


class Target(NamedTuple):
    """`element` is "" where the source has none."""

    element: str
    architecture: str


def targets(file: str, root: Path | None = None) -> list[Target]:
    """What the file's header names, without the elements that make the program of an earlier one."""
    architectures = source.header(file, root).architectures
    return [Target(element, arch) for element in distinct_elements(file, root) or ("",) for arch in architectures]


def distinct_elements(file: str, root: Path | None = None) -> tuple[str, ...]:
    """The header's elements that make different programs, the first of each kind."""
    elements, code = source.header(file, root).elements, _code(file, root)
    for name in elements:
        code = re.sub(rf"#\s*define\s+{name}\b", "", code)
    tested = set(_ELEMENT_TEST.findall(code))
    if re.search(rf"\b(?:{'|'.join(('ELEMENT', *elements))})\b", _ELEMENT_TEST.sub("", code)):
        return elements
    untested = [name for name in elements if name not in tested]
    return tuple(name for name in elements if name in tested or name == untested[0])


def family(file: str, architecture: str, root: Path | None = None) -> tuple:
    """Equal for architectures of one generation for which the preprocessor makes the same text."""
    code = _code(file, root)
    number, has_features = int(architecture[3:].rstrip("a")), architecture.endswith("a")
    if "__CUDA_ARCH__" in _ARCHITECTURE_TEST.sub("", code):
        return (architecture,)
    bounds = sorted({int(bound) for bound in _ARCHITECTURE_TEST.findall(code) if bound})
    return number // 10, has_features and _FEATURES in code, tuple(10 * number >= bound for bound in bounds)


@cache
def _code(file: str, root: Path | None) -> str:
    """The flattened text without its comments."""
    return _COMMENT.sub("", source.read(file, root))
