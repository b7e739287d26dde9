"""Every intrinsic on fixed data: run by the emulator and kept as golden files, so that a GPU can be held against them.

    for case in conformance.cases(capability):
        launches = case.launches(addresses of case.inputs, address of an output of case.expected's shape and dtype)
        ...
        problem = conformance.difference(case, output)      # "" where it agrees

`python -m tests.emulator.conformance` writes the golden files anew, which a change of the questions makes necessary.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from npresnet.cuda.launch import Launch
from npresnet.network import Array
from tests.emulator import memory
from tests.emulator.conformance_cases import Question, questions

GOLDEN = Path(__file__).resolve().parent / "golden" / "conformance.npz"


class Case(NamedTuple):
    """A question and its answer.

    launches   (addresses of the inputs, address of the output) -> what to run
    expected   what the emulator computed, with the output's exact shape and dtype
    tolerance  absolute; 0: every bit, but one NaN is like another
    """

    name: str
    launches: Callable[[list[int], int], list[Launch]]
    inputs: list[Array]
    expected: Array
    tolerance: float


def cases(capability: int) -> list[Case]:
    """The cases whose instructions a device of that capability has (75, 80, 86, ...; 90 means sm_90a)."""
    with np.load(GOLDEN) as archive:
        return [case_of(q, archive[q.name].astype(q.dtype)) for q in questions() if q.runs_on(capability)]


def case_of(question: Question, expected: Array) -> Case:
    """A question with its answer."""
    return Case(
        question.name,
        lambda inputs, output: [question.launch(inputs, output)],
        list(question.inputs),
        expected,
        question.tolerance,
    )


def difference(case: Case, found: Array) -> str:
    """ "" where `found` agrees with what is expected, else one line."""
    expected = case.expected
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return f"{case.name}: {found.dtype} {found.shape} instead of {expected.dtype} {expected.shape}"
    wrong = (found != expected) & ~(is_nan(case.name, found) & is_nan(case.name, expected))
    if case.tolerance:
        wrong = ~(np.abs(found.astype(np.float64) - expected) <= case.tolerance)
    if not wrong.any():
        return ""
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (
        f"{case.name}: {int(wrong.sum())} of {wrong.size} numbers differ by more than {case.tolerance:g}, "
        f"the first at {first}: {found[first]}, expected {expected[first]}"
    )


def is_nan(name: str, values: Array) -> Array:
    """Where the bits of an output are a NaN."""
    if name == "float_to_half":
        return np.isnan(values.view(np.float16))
    if name == "float_to_bfloat16":
        return np.isnan((values.astype(np.uint32) << np.uint32(16)).view(np.float32))
    if name == "float_to_tf32" or ("_tf32 " in name and name.startswith("tensor_copy")):
        return np.isnan(values.view(np.float32))
    return np.isnan(values)


def emulate(question: Question, *, copies: str = "lazy", schedule: str = "ascending", architecture: int = 90) -> Array:
    """The emulator's answer."""
    from tests.emulator import emulator  # it needs pytest, which a machine that only has a GPU may lack

    inputs = [memory.guarded(array) for array in question.inputs]
    output = memory.poisoned(question.shape, question.dtype)
    launch = question.launch([array.ctypes.data for array in inputs], output.ctypes.data)
    emulator.run([launch], copies=copies, schedule=schedule, architecture=architecture)
    memory.check_guards(output)
    return output


def write_golden() -> None:
    """The emulator's answers, for the tree to keep."""
    GOLDEN.parent.mkdir(exist_ok=True)
    np.savez_compressed(GOLDEN, **{question.name: _compact(emulate(question)) for question in questions()})


def _compact(answer: Array) -> Array:
    """The same numbers in half the bytes, where they are whole and small."""
    if answer.dtype != np.float32 or not np.isfinite(answer).all() or np.abs(answer).max() > 32767:
        return answer
    whole = answer.astype(np.int16)
    return whole if np.array_equal(whole, answer) else answer


if __name__ == "__main__":
    write_golden()
    print(f"{GOLDEN}: {GOLDEN.stat().st_size} bytes")
