"""tools/check_site.py finds what can be wrong with a site, and nothing in a sound one."""

from __future__ import annotations

import re

import pytest

from tests.support import browser
from tools import check_site

HEAD = '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
PAGE = f"<!doctype html><html><head>{HEAD}</head><body><main>{{}}</main></body></html>"
SEARCH = '<ul id="search-results"><li><a href="index.html">a</a></li><li><a href="index.html#here">b</a></li></ul>'
FAULTS = {
    r"^\w+\.html at 1280 pixels: \d+ pixels stick out": '<div style="width: 2000px">wide</div>',
    r"at 360 pixels: \d+ pixels stick out": '<div style="width: 400px">wide on a telephone</div>',
    r"at 360 pixels: 4\d pixels stick out": (  # a column that scrolls in itself, as the theme's does
        '<div class="bd-article-container" style="width: 300px; overflow: auto"><p style="width: 345px">wide</p></div>'
    ),
    r"at 360 pixels: link cut off: 'Performance'": (
        '<a href="#" style="display: block; width: 20%; overflow-x: hidden">Performance</a>'
    ),
    r"picture not loaded: .*/nothing\.png": '<img src="nothing.png">',
    r"left over from the source: '\]\(gpu\.md\)'": "<p>see [GPU](gpu.md)</p>",
    r"left over from the source: ':doc:`'": "<p>see :doc:`gpu`</p>",
    r"planted error": '<script>console.error("planted error")</script>',
    r"requested http://example\.invalid/font\.css": '<link rel="stylesheet" href="http://example.invalid/font.css">',
    r"link to nothing: gone\.html": '<a href="gone.html">gone</a>',
    r"link to no anchor of index\.html: #there": '<a href="index.html#there">there</a>',
}


@pytest.fixture
def site(tmp_path):
    """A sound site."""
    browser.require()
    (tmp_path / "index.html").write_text(PAGE.format('<h1 id="here">A page</h1><a href="#here">here</a>'))
    (tmp_path / "search.html").write_text(PAGE.format(SEARCH))
    return tmp_path


def test_a_sound_site_has_no_problems(site, capsys):
    assert check_site.main([str(site)]) == 0
    assert "2 pages at 1280 and 360 pixels, 0 problems" in capsys.readouterr().out


def test_planted_faults_are_found(site, monkeypatch, capsys):
    for number, fault in enumerate(FAULTS.values()):
        (site / f"fault{number}.html").write_text(PAGE.format(fault))
    (site / "search.html").write_text(PAGE.format('<ul id="search-results"></ul>'))
    monkeypatch.setattr(check_site, "PATIENCE_S", 1.0)
    assert check_site.main([str(site)]) == 1
    told = capsys.readouterr().out.splitlines()
    for number, fault in enumerate(FAULTS):
        assert any(re.search(fault, line) and f"fault{number}.html" in line for line in told), fault
    assert any("a search for winograd finds nothing" in line for line in told)
    assert not any(line.startswith("index.html") for line in told)


def test_a_folder_without_a_site_is_told(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        check_site.main([str(tmp_path)])
    assert stopped.value.code == 2
    assert "has no index.html" in capsys.readouterr().err
