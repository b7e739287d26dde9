"""One browser for all the pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import browser as browsers


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[browsers.Browser]:
    """A headless Chromium; a test opens its page in it."""
    started = browsers.start(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()
