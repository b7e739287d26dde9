"""The ladder's page in a real browser: quiet, self-contained, inside the window, the right numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from npresnet.teach.ladder import text
from npresnet.teach.ladder.climb import Ladder, Step

STEPS = [
    Step(
        "seven loops",
        "the definition",
        22,
        "CPU, one thread",
        "equal",
        0.0625,
        1.8e-7,
        3842.0,
        0.001228,
        2.3e-5,
        4e-5,
        7e-6,
    ),
    Step("npresnet", "the backend", 631, "CPU, one thread", "equal", 1.0, 1.5e-7, 0.2151, 21.93, 0.41, 0.6524, 0.12),
    Step("mma", "tensor cores", 200, "a GPU", "not equal: 3 of 9 whole numbers are wrong", 1.0, 0.5),
    Step("wgmma", "Hopper", 210, "a GPU", "equal", 1.0, 1e-4, 0.01, 470.0, None, 12.0, None),
]
STEPS[1] = replace(STEPS[1], note="Not faster here than x.", code="def <b>f</b>():\n    return 1")
SHAPE = {"x": [1, 16, 32, 32], "weight": [16, 16, 3, 3], "out": [1, 16, 32, 32], "stride": [1, 1], "groups": 1}
HOSTILE = "</script><img src=x onerror=document.title='broken'>.png"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    climbed = Ladder("cifar_resnet20", "layer1.0.conv1", HOSTILE, SHAPE, 2_359_296, 140_352, 53.45, 5.29, STEPS)
    path = tmp_path_factory.mktemp("ladder") / "page.html"
    path.write_text(text.to_page(climbed), encoding="utf-8")
    return path


def fits(browser) -> bool:
    """Nothing sticks out of the window at the right; not innerWidth, for a telephone zooms out to fit."""
    return browser.run("return document.scrollingElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_ladder_is_quiet_and_shows_every_rung(browser, page, width, scheme):
    browser.open(page, width, prefers_color_scheme=scheme)
    browser.check_quiet()
    assert fits(browser)
    assert browser.run("return document.title") == "layer1.0.conv1 climbs the ladder"
    assert HOSTILE in browser.text(".kicker")
    rows = browser.run(
        "return [...document.querySelectorAll('#rows tr')].map(r => [...r.children].map(c => c.textContent))"
    )
    assert [row[0] for row in rows] == [step.name for step in STEPS]
    assert rows[1][1:5] == ["0.2151", "21.93", "41 %", "0.6524"]
    assert [row[8] for row in rows] == [step.status for step in STEPS]
    notes = "return [...document.querySelectorAll('#bars .rung')].map(r => r.querySelector('.note')?.textContent ?? '')"
    assert browser.run(notes) == [step.note for step in STEPS]
    codes = "return [...document.querySelectorAll('#bars .rung')].map(r => r.querySelector('pre')?.textContent ?? '')"
    assert browser.run(codes) == [step.code for step in STEPS]
    browser.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert fits(browser)
    assert rows[2][1:6] == [""] * 5  # not equal: no time
    assert rows[3][3] == ""  # a ceiling that was not measured
    assert "3 of 9 whole numbers are wrong" in browser.text("#bars")
    assert "384,200 times faster" in browser.text("#gain")
    assert "seven loops (striped) computed 6.3 % of the layer" in browser.text("#extrapolated")


def test_bars_are_logarithmic(browser, page):
    browser.open(page)
    widths = browser.run("return [...document.querySelectorAll('.bar')].map(b => b.getBoundingClientRect().width)")
    assert widths[2] == 0
    decade = (widths[0] - widths[1]) / 4.252  # log10(3842 / 0.2151)
    assert widths[1] - widths[3] == pytest.approx(decade * 1.3326, rel=0.02)  # log10(0.2151 / 0.01)
