"""The pages in a real browser: quiet, self-contained, answering to pointer and keys, with the engine's numbers."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from npresnet import ops
from npresnet.errors import ShapeError
from npresnet.network import INPUT
from npresnet.teach import explain, trace
from npresnet.teach.about import Device
from npresnet.window import Window
from tests.support.layers import KINDS, model_of
from tests.support.small import picture

PHOTO = picture(3, height=80, width=90)
PHONE, WIDE = 360, 1280
HOSTILE = "</script><img src=x onerror=document.title='broken'>\u2028'\".png"


@pytest.fixture(scope="module", params=KINDS)
def explained(request, browser, tmp_path_factory):
    """(browser with the page open, facts, the convolution's input) for each kind of layer."""
    kind = KINDS[request.param]
    model = model_of(kind)
    facts = explain.gather(model, PHOTO, kind.layer)
    path = tmp_path_factory.mktemp("explain") / "page.html"
    path.write_text(explain.render(facts), encoding="utf-8")
    x = model.preprocess(PHOTO)
    if facts.input_name != INPUT:
        x = model.features(x, [facts.input_name])[facts.input_name]
    browser.open(path)
    return browser, facts, x[0]


@pytest.fixture(scope="module")
def traced(browser, tmp_path_factory):
    facts = trace.gather(model_of(KINDS["1x1"]), PHOTO)
    path = tmp_path_factory.mktemp("trace") / "page.html"
    path.write_text(trace.render(facts), encoding="utf-8")
    browser.open(path)
    return browser, facts, path


def number(text: str) -> float:
    """A number as the page writes it."""
    return float(text.replace("\N{MINUS SIGN}", "-").replace(",", ""))


# --- explain ---------------------------------------------------------------------------------------------------------


def test_explain_is_quiet_and_shows_the_engines_numbers(explained):
    browser, facts, _ = explained
    browser.check_quiet()
    assert np.float32(number(browser.text(".headline .value"))) == np.float32(facts.step_output)
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


def test_keys_step_through_the_products(explained):
    browser, facts, _ = explained
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


def test_hovering_the_matrix_tells_row_and_column(explained):
    """Wherever the pointer is, the cell told is im2col's, by number, channel, tap and value."""
    browser, facts, x = explained
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


def test_hovering_the_picture_finds_the_pixel_in_the_matrix(explained):
    browser, facts, x = explained
    browser.hover("#plane", 0.5, 0.5)
    cell = dict(browser.run("return {...document.getElementById('readout').dataset}"))
    y, z = int(cell["y"]), int(cell["x"])
    assert np.float32(cell["value"]) == x[int(cell["channel"]), y, z]
    assert int(cell["copies"]) == facts.matrix.copies_rows[y] * facts.matrix.copies_columns[z]


def test_arrow_keys_move_in_the_matrix(explained):
    browser, facts, _ = explained
    browser.hover("#matrix", 0.01, 0.01)
    before = dict(browser.run("return {...document.getElementById('readout').dataset}"))
    browser.press("arrow_right", on="#matrix")
    after = dict(browser.run("return {...document.getElementById('readout').dataset}"))
    assert int(after["column"]) == int(before["column"]) + 1
    browser.press("arrow_down", on="#matrix")
    last = dict(browser.run("return {...document.getElementById('readout').dataset}"))
    assert facts.patch.size > 1, "a matrix of one row has no next one"
    assert int(last["row"]) == int(before["row"]) + 1


def test_sliders_change_row_and_channels(explained):
    browser, facts, _ = explained
    for name in ("out-row", "block"):
        browser.run(
            "const s = document.getElementById(arguments[0]); s.value = s.max; s.dispatchEvent(new Event('input'))",
            name,
        )
    cell = dict(browser.run("return {...document.getElementById('readout').dataset}"))
    assert int(cell["column"]) // facts.matrix.output_shape[2] == facts.matrix.output_shape[1] - 1
    shown = facts.shown.channels[1] - 1
    assert browser.text("#block-value").replace(" to ", " ").split()[-1] == str(shown)


def test_still_quiet_after_all_that(explained):
    explained[0].check_quiet()


@pytest.fixture(scope="module")
def one_page(browser, tmp_path_factory):
    """(path, facts) of one explained layer."""
    facts = explain.gather(model_of(KINDS["3x3 strided"]), PHOTO, KINDS["3x3 strided"].layer)
    path = tmp_path_factory.mktemp("one") / "page.html"
    path.write_text(explain.render(facts), encoding="utf-8")
    return path, facts


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


@pytest.mark.parametrize("media", [{}, {"prefers_color_scheme": "dark", "prefers_reduced_motion": "reduce"}])
@pytest.mark.parametrize("width", [PHONE, WIDE])
def test_nothing_is_wider_than_the_window(browser, one_page, traced, width, media):
    for path in (one_page[0], traced[2]):
        browser.open(path, width, **media)
        assert browser.run("return document.documentElement.scrollWidth") == width
        sizes = browser.run(
            "return [...document.querySelectorAll('p, dd, td')].filter((e) => e.offsetParent)"
            ".map((e) => parseFloat(getComputedStyle(e).fontSize))"
        )
        assert min(sizes) >= 12
        browser.check_quiet()


def test_reduced_motion_is_kept(browser, one_page):
    browser.open(one_page[0], prefers_reduced_motion="reduce")
    assert browser.run("return getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    browser.open(one_page[0], prefers_reduced_motion="no-preference")
    assert browser.run("return getComputedStyle(document.documentElement).scrollBehavior") == "smooth"


def test_everything_that_can_be_used_has_a_name(browser, one_page, traced):
    for path in (one_page[0], traced[2]):
        browser.open(path)
        nameless = browser.run(
            "return [...document.querySelectorAll('button, input, select, img, [tabindex], [role=img]')].filter((e) =>"
            "e.getClientRects().length && !(e.textContent.trim() || e.ariaLabel || e.labels?.length"
            " || e.getAttribute('aria-labelledby') || e.hasAttribute('alt')))"
            ".map((e) => e.outerHTML.slice(0, 80))"
        )
        assert nameless == []


@pytest.mark.parametrize("make", [explain, trace], ids=["explain", "trace"])
def test_hostile_names_are_shown_as_text(browser, tmp_path, make):
    facts = make.gather(model_of(KINDS["3x3"]), PHOTO)
    facts = replace(facts, image=HOSTILE, arch=HOSTILE, prediction=[(HOSTILE, 0.5)])
    path = tmp_path / "page.html"
    path.write_text(make.render(facts), encoding="utf-8")
    browser.open(path)
    assert browser.text(".kicker span") == HOSTILE
    assert browser.run("return document.title") != "broken"
    assert browser.run("return document.querySelectorAll('[onerror]').length") == 0
    assert HOSTILE in browser.text("header")
    browser.check_quiet()


def test_the_policy_refuses_what_is_not_ours(browser, one_page, tmp_path):
    """Planted: a script and a picture from elsewhere. The browser refuses both, and check_quiet would tell."""
    planted = "<script>document.title = 'broken'</script><img src='http://127.0.0.1:9/x.png'>"
    path = tmp_path / "page.html"
    path.write_text(
        Path(one_page[0]).read_text(encoding="utf-8").replace("<main>", f"<main>{planted}"), encoding="utf-8"
    )
    browser.open(path)
    assert browser.run("return document.title") != "broken"
    with pytest.raises(AssertionError):
        browser.check_quiet()
    assert len(browser.problems) >= 2


ON_GPU = Device(True, "NVIDIA Emulated", "float16", "on NVIDIA Emulated (cuda:0)", "kernel launch", "in registers")


def test_words_follow_device_and_activation(browser, tmp_path):
    """The same facts as if another device had run them, and as if SiLU had ended the step."""
    facts = explain.gather(model_of(KINDS["7x7 stem"]), PHOTO)
    path = tmp_path / "page.html"
    told = {}
    labels = {**facts.labels, "silu": "SiLU"}
    for name, changed in {
        "cpu": facts,
        "gpu": replace(facts, device=ON_GPU),
        "silu": replace(facts, activation="silu", labels=labels, step_output=facts.step_output - 0.25),
    }.items():
        path.write_text(explain.render(changed), encoding="utf-8")
        browser.open(path)
        browser.check_quiet()
        told[name] = [browser.text(part) for part in ("#engine-text", "#ways-text", "#steps-text", "#waterfall")]
    assert "In the whole network it also does the max pool that follows" in told["cpu"][0]
    assert "convolution, BatchNorm, ReLU in one pass, while the result is in the cache" in told["cpu"][1]
    assert "The ReLU leaves it as it is." in told["cpu"][2]
    assert "kernel launch" in told["gpu"][0]
    assert "in registers" in told["gpu"][1]
    assert "float16" in told["gpu"][1]
    assert "The SiLU makes it" in told["silu"][2]
    assert "SiLU" in told["silu"][3]


def test_trace_on_a_gpu_speaks_of_the_gpu(browser, traced, tmp_path):
    facts = traced[1]
    arena = [replace(block, halo=False) for block in facts.arena]
    path = tmp_path / "page.html"
    path.write_text(trace.render(replace(facts, device=ON_GPU, arena=arena, copying_ms=0.25)), encoding="utf-8")
    for page, place, legend in ((path, ON_GPU.timed, False), (traced[2], "on one thread of this machine", True)):
        browser.open(page)
        browser.check_quiet()
        assert place in browser.text("#lead")
        assert place in browser.text("#steps-note")
        assert ("0.25 ms more" in browser.text("#steps-note")) == (page == path)
        assert browser.run("return document.getElementById('halos').checkVisibility()") == legend
        word = "GPU" if page == path else "CPU"
        assert f"On the {word} the step before the max pool does that as well." in browser.text("#passes-text")


# --- trace -----------------------------------------------------------------------------------------------------------


def test_trace_lists_every_step(traced):
    browser, facts, path = traced
    browser.open(path)
    names = browser.run("return [...document.querySelectorAll('.step .name')].map((e) => e.textContent)")
    assert names == [step.name for step in facts.steps]
    assert f"{facts.nodes_before} nodes" in browser.text("#passes-text")
    assert f"{len(facts.steps)} steps" in browser.text("#passes-text")
    counts = browser.run(
        "return [...document.querySelectorAll('#passes-bars text[font-weight]')].map((e) => Number(e.textContent))"
    )
    assert counts == [facts.nodes_before, facts.nodes_folded, facts.nodes_fused, len(facts.steps)]
    browser.check_quiet()


def test_keys_open_a_step(traced):
    browser, facts, path = traced
    browser.open(path)
    browser.press("arrow_down", "enter", on=".step summary")
    assert browser.run("return document.getElementById('step-1').open")
    assert not browser.run("return document.getElementById('step-0').open")
    step = facts.steps[1]
    inside = browser.run(
        "const e = document.getElementById('step-1');"
        "return new Promise((done) => setTimeout(() => done(e.textContent), 50))"
    )
    assert f"{step.macs:,}" in inside
    assert ", ".join(map(str, step.maps.strongest)) in inside
    assert " → ".join(name for name, _ in step.nodes) in inside


def test_the_clock_of_the_memory(traced):
    """What the page says is in use at each step is what the plan keeps alive then."""
    browser, facts, path = traced
    browser.open(path)
    for n in (0, 1, len(facts.steps) // 2, len(facts.steps) - 1):
        place = browser.run(
            "const {left, width} = ganttSize();"
            "return (left + (arguments[0] + 1.5) / (STEPS.length + 1) * (width - left)) / width",
            n,
        )
        browser.hover("#gantt", place, 0.5)
        told = browser.run("return {...document.getElementById('alive').dataset}")
        alive = [block for block in facts.arena if block.first <= n <= block.last]
        assert (int(told["step"]), int(told["bytes"])) == (n, sum(block.size for block in alive))
        assert facts.steps[n].name in browser.text("#alive")
    browser.press("arrow_left", on="#gantt")
    assert browser.run("return Number(document.getElementById('alive').dataset.step)") == len(facts.steps) - 2
    assert len(browser.run("return [...document.querySelectorAll('#gantt .block')]")) == len(facts.arena)


def test_bars_show_what_is_asked_for(traced):
    browser, facts, path = traced
    browser.open(path)
    script = "return [...document.querySelectorAll('.step .bar')].map((e) => parseFloat(e.style.width))"
    for measure in ("ms", "macs", "traffic", "weights"):
        browser.run(
            "const s = document.getElementById('measure'); s.value = arguments[0];s.dispatchEvent(new Event('change'))",
            measure,
        )
        values = np.array([getattr(step, measure) for step in facts.steps], float)
        np.testing.assert_allclose(browser.run(script), 100 * values / values.max(), rtol=1e-3, atol=1e-4)
