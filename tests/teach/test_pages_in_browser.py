"""What holds for every page, in a real browser: quiet, self-contained, readable at any width, safe with any name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from npresnet.system.text import visible
from npresnet.teach import explain, trace
from npresnet.teach.about import Device
from tests.support.layers import KINDS, PHOTO, model_of

PHONE, WIDE = 360, 1280
HOSTILE = "</script><img src=x onerror=document.title='broken'>\u2028'\".png"


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
    shown = visible(HOSTILE)  # its line separator is an escape
    assert browser.text(".kicker span") == shown
    assert browser.run("return document.title") != "broken"
    assert browser.run("return document.querySelectorAll('[onerror]').length") == 0
    assert shown in browser.text("header")
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
