"""Matrix products in every form: exact on integers, every row once, and the same bits where `keeps_bits` is true."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from npresnet.cpu.kernels import gemm
from tests.conftest import REPOSITORY
from tests.cpu.test_determinism import CORE_TYPES, require
from tests.support.cases import integers
from tests.support.checks import assert_same

WIDTHS = (16, 32, 64, 128, 192)
DEPTHS = (3, 64, 147, 256, 384, 449, 512, 901, 1152, 2304)


def run(calls) -> None:
    for kernel, args in calls:
        kernel(*args)


def product(form: str, a: np.ndarray, weight: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """a @ weight by `multiply`. What is not written remains NaN."""
    if out is None:
        out = np.empty((*a.shape[:-1], weight.shape[-1]), np.float32)
    out[...] = np.nan
    scratch = np.full(gemm.scratch_floats(form, a.shape), np.nan, np.float32)
    run(gemm.multiply(form, a, gemm.prepack(form, weight), out, scratch))
    return out


def matrices(rows: int, depth: int, columns: int, *leading: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng((rows, depth, columns))
    return integers(rng, (*leading, rows, depth)), integers(rng, (depth, columns))


@pytest.mark.parametrize("form", gemm.FORMS)
@pytest.mark.parametrize("columns", WIDTHS)
def test_every_form_is_exact_at_every_number_of_rows_about_a_block_s_limit(form, columns):
    tried = 0
    for depth in DEPTHS:
        if not gemm.fits(form, depth, columns):
            continue
        limit = gemm.block_limit(gemm.parts_of(depth)[0] if form == "split_k" else depth, min(columns, gemm.PANEL))
        for rows in {*range(1, 18), *(n for n in (limit - 1, limit, limit + 1, 2 * limit + 1, 49, 70) if n < 150)}:
            a, weight = matrices(rows, depth, columns)
            assert_same(product(form, a, weight), a @ weight, (form, rows, depth, columns))
            tried += 1
    if form == "gemm" or columns % gemm.PANEL == 0:
        assert tried > 50


@pytest.mark.parametrize("form", gemm.FORMS)
@pytest.mark.parametrize("leading", [(1,), (3,), (2, 3)])
def test_leading_axes(form, leading):
    for rows in (1, 7, 20, 49):
        a, weight = matrices(rows, 576, 128, *leading)
        assert_same(product(form, a, weight), a @ weight, (form, rows, leading))


@pytest.mark.parametrize("form", ["gemm", "panels"])
def test_a_weight_for_each_of_the_leading_axes(form):
    rng = np.random.default_rng(0)
    a, weight = integers(rng, (4, 3, 2, 19, 40)), integers(rng, (4, 3, 40, 64))  # (t*t, blocks, images, M, K)
    out = np.full((4, 3, 2, 19, 64), np.nan, np.float32)
    run(gemm.multiply(form, a, gemm.prepack(form, weight)[:, :, None], out))
    assert_same(out, a @ weight[:, :, None])


@pytest.mark.parametrize("form", gemm.FORMS)
def test_strides_of_a_and_out(form):
    """Columns of a wider array, images some way apart, as blocks of groups and parts of the channels lie in memory."""
    rng = np.random.default_rng(1)
    for rows in (5, 24, 49, 70):
        wide, weight = integers(rng, (3, rows, 2 * 512)), integers(rng, (512, 64))
        a = wide[:, :, 512:]
        held = np.full((3, rows, 4 * 64), np.nan, np.float32)
        product(form, a, weight, held[..., 64:128])
        assert_same(held[..., 64:128], a @ weight, rows)
        assert np.isnan(held[..., :64]).all(), "nothing but the requested columns"
        assert np.isnan(held[..., 128:]).all()

        by_rows_first = integers(rng, (rows, 3, 512)).swapaxes(0, 1)  # (3, M, K), rows three apart
        out = np.full((rows, 3, 64), np.nan, np.float32).swapaxes(0, 1)
        assert_same(product(form, by_rows_first, weight, out), by_rows_first @ weight, rows)


@pytest.mark.parametrize("form", gemm.FORMS)
def test_a_part_of_the_columns(form):
    a, weight = matrices(20, 576, 192)
    prepacked, scratch = gemm.prepack(form, weight), np.empty(gemm.scratch_floats(form, a.shape), np.float32)
    for first, last in ((0, 64), (64, 192), (64, 128)):
        out = np.full((20, last - first), np.nan, np.float32)
        run(gemm.multiply(form, a, gemm.columns_of(form, prepacked, first, last), out, scratch))
        assert_same(out, a @ weight[:, first:last], (first, last))


def check_row_blocks() -> None:
    """Every row once, in order; every block a small product; a single row only where there is no other."""
    for width in (16, 32, 64):
        for depth in (1, 3, 27, 64, 147, 256, 512, 576, 1152, 1950):
            for rows in range(1, 200):
                blocks, at = gemm.row_blocks(rows, depth, width), 0
                for first, last, height in blocks:
                    assert first == at, (rows, depth, blocks)
                    assert (last - first) % height == 0
                    assert last > first
                    assert height * width * depth <= gemm.SMALL_PRODUCT, (rows, depth, blocks)
                    assert height > 1 or rows == 1, (rows, depth, blocks)
                    at = last
                assert at == rows, (rows, depth, blocks)


def test_row_blocks():
    check_row_blocks()


@pytest.mark.parametrize(
    "fault",
    [
        lambda blocks: blocks[:1],
        lambda blocks: [(first, last - (last > 8), height) for first, last, height in blocks],
        lambda blocks: [(first, last, last - first) for first, last, _ in blocks],
        lambda blocks: [(first, last, 1) for first, last, _ in blocks],
    ],
    ids=["the rest forgotten", "a row short", "one block", "row by row"],
)
def test_row_blocks_that_go_wrong(monkeypatch, fault):
    working = gemm.row_blocks
    monkeypatch.setattr(gemm, "row_blocks", lambda *args: fault(working(*args)))
    with pytest.raises(AssertionError):
        check_row_blocks()


def test_row_blocks_are_even_where_that_costs_nothing():
    assert gemm.row_blocks(49, 256) == [(0, 49, 49)], "not 48 and a single row, nor 47 and 2"
    assert gemm.row_blocks(196, 256) == [(0, 196, 28)], "not 3 of 56 and 28 more, for which all panels are read again"
    assert gemm.row_blocks(64, 512) == [(0, 64, 16)]
    assert gemm.row_blocks(392, 64) == [(0, 392, 196)]


def test_panels_meet_all_rows_before_the_next():
    a, weight = matrices(49, 512, 1024)
    panels, out = gemm.prepack("panels", weight), np.empty((49, 1024), np.float32)
    assert len(gemm.row_blocks(49, 512)) == 2
    read = [args[1] for _, args in gemm.multiply("panels", a, panels, out)]
    assert all(few.size <= gemm.PANELS_AT_ONCE for few in read)
    for once, again in zip(read[::2], read[1::2], strict=True):
        assert once.ctypes.data == again.ctypes.data
    assert len(read) == 2 * panels.size // gemm.PANELS_AT_ONCE


def test_what_does_not_fit_is_said():
    assert all(gemm.fits("gemm", depth, columns) for depth in (1, 5000) for columns in (1, 65, 1000))
    for form in gemm.FORMS[1:]:
        assert not gemm.fits(form, 64, 65)
        assert not gemm.fits(form, 64, 72)
    assert gemm.fits("panels", 64, 64)
    assert not gemm.fits("panels", 4608, 512), "so deep that a block would have fewer than eight rows"
    assert gemm.fits("split_k", 4608, 512)
    assert not gemm.fits("split_k", 448, 64), "one part is no split"


def test_parts_cover_k_once_in_lengths_that_small_products_take():
    for depth in range(1, 5000):
        parts = gemm.parts_of(depth)
        assert sum(parts) == depth
        assert max(parts) <= gemm.PART_DEPTH
        assert max(parts) - min(parts) <= 1, "a call for each length"
    assert sorted(gemm.parts_of(449)) == [224, 225]
    assert gemm.parts_of(2304) == (384,) * 6


# --- bits ------------------------------------------------------------------------------------------------------------


def keeps_bits_in_a_process(core_type: str) -> dict:
    """The output of tests.support.gemm_bits."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
    environment["OPENBLAS_CORETYPE"] = core_type
    command = [sys.executable, "-m", "tests.support.gemm_bits"]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("instructions", CORE_TYPES)
def test_where_keeps_bits_says_so_they_are_kept(instructions):
    found = keeps_bits_in_a_process(require(instructions))
    assert found["wrong"] == []
    assert found["kept"] > 10
    if instructions == "avx512":
        assert found["panels"] > 10
        assert found["split_k"] > 10
    if instructions == "avx2":
        assert found["not kept"] > 0, "if every call kept its bits, there would be nothing to ask"
