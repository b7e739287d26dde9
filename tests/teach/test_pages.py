"""How pages are put together: escaping, the policy, plain JSON."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import numpy as np

from npresnet.teach import pages
from npresnet.teach.pages.plain import floats, plain

HOSTILE = "</script><script>alert(1)</script><!-- \u2028 'x' \"y\" &amp; \\"


def page(data, title="A page") -> str:
    return pages.assemble(title, "trace.html", data, styles=["page.css", "trace.css"], scripts=["page.js", "trace.js"])


def data_of(text: str):
    (found,) = re.findall(r'<script type="application/json" id="npresnet-data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def test_data_come_back_as_they_were():
    assert data_of(page({"image": HOSTILE})) == {"image": HOSTILE.replace("\u2028", r"\u2028")}


def test_hostile_text_is_no_markup():
    text = page({"image": HOSTILE, HOSTILE: 1}, title=HOSTILE)
    assert "alert(1)</script>" not in text
    assert text.count("<script") == 2
    assert text.count("</script>") == 2
    assert "<title>&lt;/script&gt;" in text


def test_the_policy_names_the_very_style_and_script():
    text = page({})
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    for kind, part in (("style", style), ("script", script)):
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy


def test_parts_ask_for_nothing_from_outside():
    for path in pages.FOLDER.iterdir():
        if path.suffix in (".html", ".css", ".js"):
            text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"https?:|//[a-z0-9-]+\.[a-z]|@import|url\(|fetch\(|XMLHttp|innerHTML|eval\(", text), (
                path
            )


def test_plain_numbers():
    third = np.float32(1) / np.float32(3)
    given = {
        "a": third,
        "b": (np.int64(3), np.bool_(True)),
        "c": np.arange(4, dtype=np.float32).reshape(2, 2),
        "d": None,
    }
    assert plain(given) == {"a": 0.33333334, "b": [3, True], "c": [[0, 1], [2, 3]], "d": None}
    assert np.float32(plain(third)) == third
    assert plain([np.float32(np.nan), float("inf"), np.float64("nan")]) == [None] * 3


def test_every_float32_survives():
    values = np.random.default_rng(0).integers(0, 2**32, 2000, dtype=np.uint32).view(np.float32)
    values = values[np.isfinite(values)]
    back = np.array(json.loads(pages.to_json(values)), np.float64).astype(np.float32)
    np.testing.assert_array_equal(back.view(np.uint32), values.view(np.uint32))


def test_floats_are_little_endian():
    assert base64.b64decode(floats(np.array([[1.0, -2.0]]))) == bytes.fromhex("0000803f000000c0")
