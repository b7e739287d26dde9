"""The page of `explain` in a real browser: answering to pointer and keys, with the engine's numbers."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from npresnet import ops
from npresnet.errors import ShapeError
from npresnet.teach import explain
from npresnet.window import Window
from tests.support.layers import KINDS, PHOTO, input_of, model_of


@pytest.fixture(scope="module", params=KINDS)
def opened(request, browser, tmp_path_factory):
    """(browser with the page open, facts, the convolution's input) for each kind of layer."""
    kind = KINDS[request.param]
    model = model_of(kind)
    facts = explain.gather(model, PHOTO, kind.layer)
    path = tmp_path_factory.mktemp("explain") / "page.html"
    path.write_text(explain.render(facts), encoding="utf-8")
    browser.open(path)
    return browser, facts, input_of(model, facts.input_name)[0]


def number(text: str) -> float:
    """A number as the page writes it."""
    return float(text.replace("\N{MINUS SIGN}", "-").replace(",", ""))


def test_explain_is_quiet_and_shows_the_engines_numbers(opened):
    browser, facts, _ = opened
    browser.check_quiet()
    assert number(browser.text(".headline .value")) == float(f"{facts.step_output:.9g}")  # a float64, told by 9 digits
    for way in facts.ways:
        cells = browser.run(
            "return [...document.querySelector(`[data-way='${arguments[0]}']`).children].map((c) => c.textContent)",
            way.name,
        )
        assert np.float32(number(cells[1])) == way.output
        assert cells[2] == way.bits
        assert int(cells[3]) == way.ulps
    if facts.residual is not None or facts.activation is not None:
        assert np.float32(number(cells[4])) == facts.ways[-1].step_output


def test_keys_step_through_the_products(opened):
    browser, facts, _ = opened
    products = (facts.patch.astype(np.float64) * facts.weight).ravel()
    browser.press("home", on="#stepper")
    browser.press("arrow_right", "arrow_right", "arrow_left")  # from anywhere on the page
    assert browser.run("return Number(document.getElementById('stepper').dataset.at)") == 1
    browser.press("end", on="#stepper")
    assert browser.run("return Number(document.getElementById('stepper').dataset.at)") == products.size - 1
    assert f"Product {products.size:,} of {products.size:,}" in browser.text("#sentence")
    total = number(browser.text("#sentence b:nth-of-type(2)"))
    assert total == pytest.approx(facts.products_sum, rel=6e-4, abs=1e-6)
    assert browser.run("return RUNNING[RUNNING.length - 1]") == pytest.approx(products.sum(), abs=1e-4)


def test_hovering_the_matrix_tells_row_and_column(opened):
    """Wherever the pointer is, the cell told is im2col's, by number, channel, tap and value."""
    browser, facts, x = opened
    window = Window(facts.kernel_size, facts.stride, facts.padding, facts.dilation)
    columns = ops.im2col(x[None, slice(*facts.channels)], window)[0]
    kernel_height, kernel_width = facts.kernel_size
    told = set()
    for share in (0.02, 0.4, 0.97):
        browser.hover("#matrix", share, share)
        cell = dict(browser.run("return {...document.getElementById('readout').dataset}"))
        row, column = int(cell["row"]), int(cell["column"])
        channel, u, v = int(cell["channel"]), int(cell["kh"]), int(cell["kw"])
        assert row == ((channel - facts.channels[0]) * kernel_height + u) * kernel_width + v
        assert np.float32(cell["value"]) == columns[row, column]
        told.add((row, column))
    assert len(told) == 3
    assert f"{column}: the window at output row {facts.row}" in browser.text("#readout")


def test_hovering_the_picture_finds_the_pixel_in_the_matrix(opened):
    browser, facts, x = opened
    browser.hover("#plane", 0.5, 0.5)
    cell = dict(browser.run("return {...document.getElementById('readout').dataset}"))
    y, z = int(cell["y"]), int(cell["x"])
    assert np.float32(cell["value"]) == x[int(cell["channel"]), y, z]
    assert int(cell["copies"]) == facts.matrix.copies_rows[y] * facts.matrix.copies_columns[z]


def test_arrow_keys_move_in_the_matrix(opened):
    browser, facts, _ = opened
    browser.hover("#matrix", 0.01, 0.01)
    before = dict(browser.run("return {...document.getElementById('readout').dataset}"))
    browser.press("arrow_right", on="#matrix")
    after = dict(browser.run("return {...document.getElementById('readout').dataset}"))
    assert int(after["column"]) == int(before["column"]) + 1
    browser.press("arrow_down", on="#matrix")
    last = dict(browser.run("return {...document.getElementById('readout').dataset}"))
    assert facts.patch.size > 1, "a matrix of one row has no next one"
    assert int(last["row"]) == int(before["row"]) + 1


def test_sliders_change_row_and_channels(opened):
    browser, facts, _ = opened
    for name in ("out-row", "block"):
        browser.run(
            "const s = document.getElementById(arguments[0]); s.value = s.max; s.dispatchEvent(new Event('input'))",
            name,
        )
    cell = dict(browser.run("return {...document.getElementById('readout').dataset}"))
    assert int(cell["column"]) // facts.matrix.output_shape[2] == facts.matrix.output_shape[1] - 1
    shown = facts.shown.channels[1] - 1
    assert browser.text("#block-value").replace(" to ", " ").split()[-1] == str(shown)


def test_still_quiet_after_all_that(opened):
    opened[0].check_quiet()


def test_what_if_reckons_as_window_does(browser, one_page):
    """The page's arithmetic against npresnet.window and ops, over the cross product of all numbers."""
    path, facts = one_page
    browser.open(path)
    cases = list(product((1, 2, 3, 7), (1, 2, 3), (0, 1, 4), (1, 2, 5), (1, 64)))
    names = ("kernel_size", "stride", "padding", "dilation", "groups")
    asked = [dict(zip(names, case, strict=True)) for case in cases]
    told = browser.run("return arguments[0].map(consequences)", asked)
    channels, *size = facts.matrix.input_shape
    out_channels = facts.matrix.output_shape[0]
    for case, answer in zip(cases, told, strict=True):
        *numbers, groups = case
        window = Window.of(*numbers)
        try:
            out_size = window.output_size(size)
        except ShapeError:
            out_size = (0, 0)
        assert answer["output_size"] == list(out_size), case
        assert answer["extent"] == window.extent[0]
        weights = out_channels * channels // groups * numbers[0] ** 2
        assert (answer["weights"], answer["macs"]) == (weights, weights * int(np.prod(out_size)))
        assert answer["columns_bytes"] == 4 * channels * numbers[0] ** 2 * int(np.prod(out_size))
    own = dict(zip(names, (3, 2, 1, 1, 1), strict=True))
    field = facts.receptive_field
    answer = browser.run("return consequences(arguments[0])", own)
    assert answer["receptive_field"] == [field.rows[1] - field.rows[0], field.columns[1] - field.columns[0]]
    assert answer["macs"] == facts.matrix.macs


def test_what_if_sliders_answer(browser, one_page):
    path, facts = one_page
    browser.open(path)
    before = browser.text("#what-if-table")
    browser.press("arrow_right", on="#what-if-stride")
    assert browser.text("#what-if-table") != before
    assert f"{facts.matrix.input_shape[1]} + 2·1" in browser.text("#what-if-table")
    browser.run("document.getElementById('what-if-reset').click()")
    assert browser.text("#what-if-table") == before
    browser.check_quiet()
