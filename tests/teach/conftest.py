"""One browser for all the pages, and the pages that several files of tests open in it; the ladders' ceilings."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator

import pytest

from npresnet.teach import explain, trace
from tests.support import browser as browsers
from tests.support.layers import KINDS, PHOTO, model_of

CLIMB = importlib.import_module("npresnet.teach.ladder.climb")  # the package's own `climb` is its function
CEILINGS = {name: functools.cache(getattr(CLIMB, name)) for name in ("gemm_peak_gflops", "copy_bandwidth_gb_per_s")}


@pytest.fixture(scope="module", autouse=True)
def ceilings_are_measured_once() -> Iterator[None]:
    """And not for each of the ladders that tests climb, which takes longer than the climb itself."""
    with pytest.MonkeyPatch.context() as patch:
        for name, measured in CEILINGS.items():
            patch.setattr(CLIMB, name, measured)
        yield


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[browsers.Browser]:
    """A headless Chromium; a test opens its page in it."""
    started = browsers.start(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def one_page(browser, tmp_path_factory):
    """(path, facts) of one explained layer."""
    facts = explain.gather(model_of(KINDS["3x3 strided"]), PHOTO, KINDS["3x3 strided"].layer)
    path = tmp_path_factory.mktemp("one") / "page.html"
    path.write_text(explain.render(facts), encoding="utf-8")
    return path, facts


@pytest.fixture(scope="module")
def traced(browser, tmp_path_factory):
    facts = trace.gather(model_of(KINDS["1x1"]), PHOTO)
    path = tmp_path_factory.mktemp("trace") / "page.html"
    path.write_text(trace.render(facts), encoding="utf-8")
    browser.open(path)
    return browser, facts, path


@pytest.fixture(scope="module", params=KINDS)
def explained(request):
    """(model, facts) of each kind of layer, in the middle of its output."""
    kind = KINDS[request.param]
    model = model_of(kind)
    return model, explain.gather(model, PHOTO, kind.layer)
