#!/usr/bin/env python3
"""Open every page of a built documentation site in Chromium, at 1280 and 360 pixels, and report what is wrong with it.

    python -m sphinx docs build/docs && python tools/check_site.py [build/docs] [--screenshots FOLDER]

Checked on each page: nothing sticks out of the window at the right, no link is cut off, the console has no errors,
nothing is requested from elsewhere, every picture has loaded, every link leads to a file of the site and to an anchor
that is there, no Markdown or reStructuredText shows as text. Then a search is made. Needs selenium, Chromium and
chromedriver.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from tests.support import browser as browsers  # noqa: E402

WIDTHS = (1280, 360)
PATIENCE_S = 20.0
LEFT_OVER = r"\]\([\w./#-]+\)|^#{1,4} |```|:(?:doc|ref|class|func):`|^\.\. \w+::"
STATE = """
    const body = (document.querySelector("article") || document.querySelector("main")).cloneNode(true);
    body.querySelectorAll("pre, code, script, style").forEach(e => e.remove());
    return {
        excess: Math.max(  // not innerWidth: a telephone zooms out to fit; the article's column would scroll in itself
            document.scrollingElement.scrollWidth - arguments[0],
            ...[...document.querySelectorAll(".bd-article-container")].map(e => e.scrollWidth - e.clientWidth),
        ),
        cut: [...document.querySelectorAll("main a")]
            .filter(e => e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX === "hidden")
            .map(e => e.innerText),
        broken: [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src),
        links: [...document.querySelectorAll("a[href]")].map(a => a.href),
        ids: [...document.querySelectorAll("[id]")].map(e => e.id),
        text: body.innerText,
    };
"""
SCREENSHOTS = {
    "start": "index.html",
    "lesson": "course/1_convolution_by_hand.html",
    "api": "api.html",
    "table": "families.html",
    "architecture": "architecture.html",
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def waited(browser: browsers.Browser, script: str) -> bool:
    """Whether a piece of JavaScript becomes true within PATIENCE_S."""
    end = time.monotonic() + PATIENCE_S
    while not browser.run(script):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def problems_of_page(
    browser: browsers.Browser, address: str, page: str, width: int, states: dict[str, dict[str, list[str]]]
) -> Iterator[str]:
    browser.open(address + page, width)
    if not waited(browser, "return document.readyState === 'complete' && document.querySelector('main') !== null"):
        yield "did not load"
        return
    state = states[page] = browser.run(STATE, width)
    if state["excess"] > 0:
        yield f"{state['excess']} pixels stick out at the right"
    yield from (f"link cut off: {text!r}" for text in state["cut"])
    yield from (f"picture not loaded: {source}" for source in state["broken"])
    yield from (f"left over from the source: {match[0]!r}" for match in re.finditer(LEFT_OVER, state["text"], re.M))
    yield from browser.noise()


def problems_of_links(folder: Path, address: str, states: dict[str, dict[str, list[str]]]) -> Iterator[tuple[str, str]]:
    """(page, problem) of links within the site, by what the browser saw of each page."""
    for page, state in states.items():
        for link in dict.fromkeys(state["links"]):
            target, anchor = urldefrag(urljoin(address + page, link))
            if not target.startswith(address):
                continue
            name = unquote(target.removeprefix(address)) or "index.html"
            if not (folder / name).is_file():
                yield page, f"link to nothing: {name}"
            elif anchor and name in states and unquote(anchor) not in states[name]["ids"]:
                yield page, f"link to no anchor of {name}: #{anchor}"


def search_problems(browser: browsers.Browser, address: str) -> Iterator[str]:
    browser.open(f"{address}search.html?q=winograd")
    if not waited(browser, "return document.querySelectorAll('#search-results li a').length >= 2"):
        yield "a search for winograd finds nothing"
    yield from browser.noise()


def take_screenshots(browser: browsers.Browser, address: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in SCREENSHOTS.items():
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                browser.open(address + page, width, prefers_color_scheme=scheme)
                browser.driver.save_screenshot(str(folder / f"{name}-{width}-{scheme}.png"))


def check(folder: Path, screenshots: Path | None) -> list[str]:
    pages = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*.html") if "_static" not in path.parts
    )
    problems, states = [], {}
    with tempfile.TemporaryDirectory() as profile, served(folder) as address:
        browser = browsers.Browser(Path(profile))
        try:
            for width in WIDTHS:
                for page in pages:
                    of_page = problems_of_page(browser, address, page, width, states)
                    problems += [f"{page} at {width} pixels: {problem}" for problem in of_page]
            problems += [f"{page}: {problem}" for page, problem in problems_of_links(folder, address, states)]
            problems += [f"search: {problem}" for problem in search_problems(browser, address)]
            if screenshots is not None:
                take_screenshots(browser, address, screenshots)
        finally:
            browser.close()
    print(f"{len(pages)} pages at {' and '.join(map(str, WIDTHS))} pixels, {len(problems)} problems")
    return problems


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", nargs="?", type=Path, default=REPOSITORY / "build" / "docs")
    parser.add_argument("--screenshots", type=Path, metavar="FOLDER", help="also photograph some pages, light and dark")
    options = parser.parse_args(arguments)
    if not (options.site / "index.html").is_file():
        parser.error(f"{options.site} has no index.html; build it with: python -m sphinx docs {options.site}")
    problems = check(options.site.resolve(), options.screenshots)
    print("\n".join(problems[:100]))
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
