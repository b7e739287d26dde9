"""A headless Chromium that opens a page and records its requests, its console errors, and its contents.

Debian and Ubuntu: apt-get install chromium chromium-driver (or chromium-browser chromium-chromedriver).
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--disable-dev-shm-usage",
)  # fmt: skip
MISSING = "these tests drive Chromium: install the packages chromium and chromium-driver, and selenium from PyPI"


class Browser:
    """One window. Since the last `open`: `problems`, all console messages; `errors`, the bad ones; `requests`."""

    def __init__(self, profile: Path):
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = _chromium() or ""
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.problems: list[str] = []
        self.errors: list[str] = []
        self.requests: list[str] = []

    def open(self, page: Path | str, width: int = 1280, height: int = 900, **media: str) -> None:
        """Load a file or an address in a window of this size; media: prefers_color_scheme="dark", ..."""
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._collect()
        self.problems, self.errors, self.requests = [], [], []
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get(page if isinstance(page, str) else page.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """The result of a piece of JavaScript."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        return self.run("return document.querySelector(arguments[0]).textContent", selector)

    def press(self, *keys: str, on: str = "body") -> None:
        """Type keys; on: the element that has the focus."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        self.run(
            "const e = document.querySelector(arguments[0]);"
            "e === document.body ? document.activeElement.blur() : e.focus()",
            on,
        )
        chain = ActionChains(self.driver, duration=0)
        for key in keys:
            chain.send_keys(getattr(Keys, key.upper(), key))
        chain.perform()

    def hover(self, selector: str, x: float, y: float) -> None:
        """Move the pointer to the share x, y of an element's width and height."""
        box = self.run(
            "const e = document.querySelector(arguments[0]); e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]",
            selector,
        )
        at = {"x": box[0] + x * box[2], "y": box[1] + y * box[3]}
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", **at})

    def noise(self) -> list[str]:
        """Console errors and warnings since `open`, and requests to anywhere but files and this machine."""
        self._collect()
        local = ("file:", "data:", "blob:", "http://127.0.0.1:")
        return [*self.errors, *(f"requested {url}" for url in self.requests if not url.startswith(local))]

    def check_quiet(self) -> None:
        """Fail where the page has console errors, or requested anything but itself and its embedded content."""
        self.check_server("file:")
        assert len([url for url in self.requests if url.startswith("file:")]) == 1

    def check_server(self, server: str) -> None:
        """Fail where the page has console errors, or requested anything of others than the server at this address."""
        self._collect()
        assert self.problems == []
        assert [url for url in self.requests if not url.startswith((server, "data:", "blob:"))] == []

    def close(self) -> None:
        self.driver.quit()

    def _collect(self) -> None:
        entries = self.driver.get_log("browser")
        self.problems += [entry["message"] for entry in entries]
        self.errors += [entry["message"] for entry in entries if entry["level"] != "INFO"]
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            parameters = message["params"]
            is_request = message["method"] == "Network.requestWillBeSent"
            if is_request and parameters["documentURL"].startswith(
                ("file:", "http:")
            ):  # not of the browser's own first tab
                self.requests.append(parameters["request"]["url"])


def start(profile: Path) -> Browser:
    """A browser; skips the test where there is none, and fails it where CI requires one."""
    require()
    return Browser(profile)


def require() -> None:
    """Skip the test where there is no browser; fail it where CI requires one."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        _missing()
    if _chromium() is None or shutil.which("chromedriver") is None:
        _missing()


def _missing() -> None:
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(MISSING)
    pytest.skip(MISSING)


def _chromium() -> str | None:
    return next((path for program in PROGRAMS if (path := shutil.which(program))), None)
