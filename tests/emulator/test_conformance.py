"""Each intrinsic of the emulator against NumPy, in every order, and against the golden files that a GPU is held to."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet.cuda.elements import ELEMENTS, restore, store
from tests.emulator import conformance, emulator
from tests.emulator.conformance import case_of, difference
from tests.emulator.conformance_cases import questions

pytestmark = emulator.needed

QUESTIONS = {question.name: question for question in questions()}


def to_tf32(x):
    """As a copy rounds: ties to even."""
    return store(x, ELEMENTS["tf32"])


def by_numpy(question, of_tf32=to_tf32):
    """What it should give: from its name, its inputs and the numbers in its name."""
    kind, *numbers = question.name.split()
    x = question.inputs[0]
    if kind == "float_to_half":
        return store(x, ELEMENTS["float16"]).view(np.uint16)
    if kind == "half_to_float":
        return x.view(np.float16).astype(np.float32)
    if kind == "float_to_bfloat16":
        return store(x, ELEMENTS["bfloat16"])
    if kind == "bfloat16_to_float":
        return restore(x, ELEMENTS["bfloat16"])
    if kind == "float_to_tf32":
        return nearest_tf32(x).view(np.uint32)
    if kind == "shuffles":
        return shuffled(x)
    if kind == "larger":
        return np.maximum(x, np.roll(x, -5))
    if kind == "copy_async":
        return np.where(np.arange(128)[:, None] % 5 != 0, x, 0)[:, ::-1]
    if kind == "load_matrix":
        return np.stack([fragments(x.reshape(4, 8, 8)), fragments(x.reshape(4, 8, 8).swapaxes(1, 2))])
    if kind == "barriers":
        return x[:, ::-1]
    if kind == "registers":
        return x + 1
    if kind.startswith("tensor_copy"):
        x = of_tf32(x) if kind.endswith("tf32") else x
        if kind.startswith("tensor_copy_im2col"):
            return swizzled(im2col_rows(x, *map(int, numbers)))
        column, row = map(int, numbers)
        around = np.pad(x, 256)
        return swizzled(around[256 + row :, 256 + column :][:64, : 128 // x.itemsize])
    return matrix_product(question)


def nearest_tf32(x):
    """Ten bits of mantissa, ties away from zero."""
    x = x.astype(np.float64)
    with np.errstate(all="ignore"):
        exponent = np.maximum(np.frexp(x)[1] - 1, -126)
        unit = np.ldexp(1.0, exponent - 10)
        rounded = np.copysign(np.floor(np.abs(x) / unit + 0.5) * unit, x)
        return np.where(np.isfinite(x), rounded, x).astype(np.float32)


def shuffled(x):
    lanes = np.arange(32)
    distances = 2 ** np.arange(5)[:, None]
    down = lanes + distances
    return np.concatenate([x[lanes ^ distances], np.where(down < 32, x[down % 32], 0)])


def fragments(matrices):
    """(4, 8, 8) -> (lane, matrix): lane l holds the pair l%4 of row l/4."""
    pairs = np.ascontiguousarray(matrices).view(np.uint32)
    return pairs.transpose(1, 2, 0).reshape(32, 4)


def swizzled(rows):
    """(64, 128 bytes): chunk c of row r goes to c ^ r % 8."""
    chunks = rows.reshape(64, 8, -1)
    r, c = np.arange(64)[:, None], np.arange(8)
    return chunks[r, c ^ r % 8].reshape(64, -1).view(f"u{rows.itemsize}")


def im2col_rows(x, kernel_size, stride, padding, dilation, c, w, h, n, offset_w, offset_h):
    """64 pixels from (n, h, w) on, in the order of a convolution's outputs."""
    reach = dilation * (kernel_size - 1)
    rows = range(-padding, x.shape[1] + padding - reach, stride)
    columns = range(-padding, x.shape[2] + padding - reach, stride)
    bases = [(i, u, v) for i in range(n, 9) for u in rows for v in columns]
    start = bases.index((n, h, w))
    outside = np.pad(x, ((0, 8), (16, 16), (16, 16), (0, 64)))
    last = c + 128 // x.itemsize
    return np.stack([outside[i, 16 + u + offset_h, 16 + v + offset_w, c:last] for i, u, v in bases[start:][:64]])


def matrix_product(question):
    element = ELEMENTS[question.name.split()[0].partition("_")[2]]
    a, b = (restore(x, element).astype(np.float64) for x in question.inputs[:2])
    if question.name.startswith("overlapping"):
        b = np.stack([b[row : row + 8].ravel() for row in range(112)])
    c = question.inputs[2] if len(question.inputs) == 3 else 0
    return (c + a @ b.T).astype(np.float32)


@pytest.mark.parametrize("name", QUESTIONS)
def test_an_intrinsic_does_what_numpy_does(name):
    question = QUESTIONS[name]
    case = case_of(question, np.ascontiguousarray(by_numpy(question), question.dtype))
    for way in emulator.EVERY_WAY:
        assert difference(case, conformance.emulate(question, **way)) == ""


@pytest.mark.parametrize("capability", [75, 80, 90])
def test_the_golden_files_are_the_emulators(capability):
    """An older device has other instructions for some of it, and the same answers."""
    cases = conformance.cases(capability)
    assert len(cases) == {75: 10, 80: 15, 90: len(QUESTIONS)}[capability]
    for case in cases:
        found = conformance.emulate(QUESTIONS[case.name], architecture=capability)
        assert difference(case, found) == ""


@pytest.mark.parametrize("name", [name for name in QUESTIONS if name.startswith("tensor_copy") and "_tf32 " in name])
def test_copies_of_tf32_tell_roundings_apart(name):
    """Whether a GPU rounds ties to even, away from zero, or cuts off, it gives other bits in many places."""
    right = next(case for case in conformance.cases(90) if case.name == name).expected
    question = QUESTIONS[name]
    for rounding in (nearest_tf32, lambda x: (x.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32), np.copy):
        other = question._replace(inputs=(rounding(question.inputs[0]),))
        found = np.ascontiguousarray(by_numpy(other, of_tf32=np.copy), question.dtype)
        assert (found != right).mean() > 0.02


def test_golden_files_are_small():
    assert conformance.GOLDEN.stat().st_size < 300_000


def test_hoppers_own_is_asked_of_hopper_only():
    assert [case.name for case in conformance.cases(100)] == [case.name for case in conformance.cases(80)]


def test_a_difference_is_put_in_words():
    case = next(case for case in conformance.cases(75) if case.name == "shuffles")
    found = case.expected.copy()
    found[3, 4] = 0.5
    assert "1 of 320 numbers differ by more than 0, the first at (3, 4): 0.5" in difference(case, found)
    found[3, 4] = np.nan
    assert "shuffles" in difference(case, found)
    assert "float64" in difference(case, found.astype(np.float64))
