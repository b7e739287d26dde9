"""Hold every engine to one instruction set, as on a processor that has no wider vectors.

Each library is told by a variable of its own (`environ`), and asked afterwards what it uses (`words`). What it says
decides: a setting that a library ignores is an error of the run, not a row of the table (`disobedience`).
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

AVX2 = "avx2"
ISAS = (AVX2,)
TITLES = {AVX2: "AVX2"}

# The names of wider vectors: of instructions, of NumPy's groups of them, of OpenBLAS's core types, of GCC's -march.
_WIDER = re.compile(r"avx-?512|avx10|amx|x86_v4|skylakex|cooperlake|sapphirerapids|native", re.IGNORECASE)
_HELD = re.compile(r"avx2|x86_v3|haswell|zen", re.IGNORECASE)


@dataclass(frozen=True)
class Report:
    """What an engine says of the instructions that it uses.

    main   part -> its own words, of the parts that do nearly all multiplications: these must obey
    aside  the same of other parts, which may choose for themselves; the table says which do
    """

    main: Mapping[str, str]
    aside: Mapping[str, str] = field(default_factory=dict)


def environ(isa: str | None) -> dict[str, str]:
    """The variables that hold every engine to `isa`; none for None."""
    if isa is None:
        return {}
    return {
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": " ".join(_wider_numpy_features()),
        "ATEN_CPU_CAPABILITY": isa,
        "ONEDNN_MAX_CPU_ISA": isa.upper(),  # of PyTorch and of OpenVINO
        "MKL_ENABLE_INSTRUCTIONS": isa.upper(),
        "TORCHINDUCTOR_CPP_MARCH": "x86-64-v3",  # else torch.compile's C++ is compiled for this machine
    }


def disobedience(report: Report) -> str:
    """Which main part does not say that it was held, with its words; nothing where all do."""
    if not report.main:
        return "it does not say which instructions it uses"
    loose = {part: word for part, word in report.main.items() if _WIDER.search(word) or not _HELD.search(word)}
    return ", ".join(f"{part} says {word!r}" for part, word in loose.items())


def independent(report: Report) -> dict[str, str]:
    """The other parts that do not say that they were held."""
    return {part: word for part, word in report.aside.items() if not _HELD.search(word)}


def held_text(entry: Mapping[str, Any], title: Callable[[str], str]) -> str:
    """A race's legend: to what its engines were held, what each says of it, and which parts chose for themselves."""
    words: dict[str, dict[str, dict[str, None]]] = {}  # engine -> part -> its words, in order
    loose: dict[str, None] = {}
    results = ((name, result) for case in entry["cases"] for name, result in case["engines"].items())
    for name, result in results:
        own = result.get("independent", {})
        for part, word in {**result.get("instructions", {}), **own}.items():
            words.setdefault(name, {}).setdefault(part, {}).update(dict.fromkeys(word.split(", ")))
        loose.update(dict.fromkeys(f"{title(name)}'s {part}" for part in own))
    said = "; ".join(
        f"{title(name)}: " + ", ".join(f"{part} {' '.join(found)}" for part, found in parts.items())
        for name, parts in words.items()
    )
    chose = f" Beside the convolutions, these chose for themselves or do not say: {'; '.join(loose)}." if loose else ""
    return f"Every engine was held to {TITLES[entry['isa']]}, and says itself what it uses. {said}.{chose}"


def numpy_dispatched() -> dict[str, bool]:
    """NumPy's CPU features beyond its build's minimum, in their order: whether this process uses them."""
    try:
        found = importlib.import_module("numpy._core._multiarray_umath")
    except ImportError:  # NumPy 1
        found = importlib.import_module("numpy.core._multiarray_umath")
    return {name: bool(found.__cpu_features__.get(name)) for name in found.__cpu_dispatch__}


def _wider_numpy_features() -> list[str]:
    return [name for name in numpy_dispatched() if re.match(r"AVX512|AVX10|AMX|X86_V4", name)]
