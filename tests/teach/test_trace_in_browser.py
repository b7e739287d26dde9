"""The page of `trace` in a real browser: its steps, its memory and its bars, answering to keys."""

from __future__ import annotations

import numpy as np


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
