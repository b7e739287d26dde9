"""Which compilations of a kernel can differ, read off its flattened text.

An ELEMENT that no line tests makes the program of every other such element: add.cu in TF32 is add.cu in FLOAT32. And
architectures of one generation (sm_80, sm_86, sm_89) that pass the same tests of __CUDA_ARCH__ are one family: the
same program, the same instructions. Where the text does anything else with these macros nothing is taken for equal.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from npresnet.cuda.elements import ELEMENTS
from npresnet.cuda.runtime import source

NAMES = tuple(element.macro for element in ELEMENTS.values())
_COMMENT = re.compile(r"//[^\n]*|/\*[\s\S]*?\*/")
_DEFINITION = re.compile(rf"#\s*define\s+(?:{'|'.join(NAMES)})\b")
_ELEMENT_TEST = re.compile(r"\bELEMENT\s*[!=]=\s*(\w+)")
_ELEMENT_USE = re.compile(rf"\b(?:ELEMENT|{'|'.join(NAMES)})\b")
_ARCHITECTURE_TEST = re.compile(r"\b__CUDA_ARCH__\s*(?:>=|<)\s*(\d+)|\bdefined\s*\(?\s*__CUDA_ARCH__\b")
_FEATURES = "__CUDA_ARCH_FEAT_SM90_ALL"  # defined for sm_90a, not for sm_90


class Target(NamedTuple):
    """`element` is "" where the source has none."""

    element: str
    architecture: str


def targets(file: str, root: Path | None = None) -> list[Target]:
    """What the file's header names, without the elements that make the program of an earlier one."""
    header, text = source.header(file, root), source.read(file, root)
    distinct = {same_element(text, name): name for name in reversed(header.elements)}
    elements = sorted(distinct.values(), key=header.elements.index)
    return [Target(element, architecture) for element in elements or ("",) for architecture in header.architectures]


def family(file: str, architecture: str, root: Path | None = None) -> tuple:
    """Equal for architectures of one generation for which the preprocessor makes the same text."""
    number = int(architecture[3:].rstrip("a"))
    return number // 10, tests_passed(_read(file, root), number, architecture.endswith("a"))


def _read(file: str, root: Path | None) -> str:
    """Read once, if it is a file of ours."""
    return source.read(file, root) if root else _read_ours(file)


@cache
def _read_ours(file: str) -> str:
    return source.read(file)


@cache
def same_element(text: str, element: str) -> str:
    """The first of all elements that makes the same program as this one."""
    code = _DEFINITION.sub("", _COMMENT.sub("", text))
    tested = set(_ELEMENT_TEST.findall(code))
    if element in tested or _ELEMENT_USE.search(_ELEMENT_TEST.sub("", code)):
        return element
    return next(name for name in NAMES if name not in tested)


@cache
def tests_passed(text: str, number: int, has_features: bool) -> tuple:
    """The outcomes of the tests of __CUDA_ARCH__ for sm_80 (number 80), and of its features, as for sm_90a."""
    code = _COMMENT.sub("", text)
    if "__CUDA_ARCH__" in _ARCHITECTURE_TEST.sub("", code):
        return (number, has_features)
    bounds = sorted({int(bound) for bound in _ARCHITECTURE_TEST.findall(code) if bound})
    return (has_features and _FEATURES in code, *(10 * number >= bound for bound in bounds))
