"""Pages: one self-contained HTML file made of a skeleton, styles, scripts and data; it loads nothing from anywhere.

The parts are real files beside this one. A skeleton (`explain.html`) holds the words and the places of the numbers,
scripts fill them in, and all that comes from users (file names, labels, layer names) travels as JSON, which scripts
show as text, never as markup.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from npresnet.system.text import visible
from npresnet.teach.pages.plain import plain

FOLDER = Path(__file__).parent
DATA_ID = "npresnet-data"

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
{body}
<script type="application/json" id="{data_id}">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def assemble(title: str, skeleton: str, data: Any, *, styles: Sequence[str], scripts: Sequence[str]) -> str:
    """One HTML page.

    title              plain text
    skeleton           name of the file with the body's markup
    data               whatever `plain` takes; the page finds it in the element with the id "npresnet-data"
    styles, scripts    names of files, put one after another

    The Content-Security-Policy allows this style and this script alone, by their hashes, and pictures that stand in the
    page; everything else is refused by the browser.
    """
    style, script = _joined(styles), _joined(scripts)
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return PAGE.format(
        policy=policy,
        title=html.escape(visible(title)),
        style=style,
        body=_read(skeleton),
        data_id=DATA_ID,
        data=to_json(data),
        script=script,
    )


def to_json(data: Any) -> str:
    """JSON that may stand inside a <script> element: no `<`, so neither `</script>` nor `<!--`, and no line ends of
    Unicode's own."""
    text = json.dumps(plain(data), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _joined(names: Sequence[str]) -> str:
    return "\n" + "\n".join(_read(name) for name in names)


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """A source that the policy allows: 'sha256-...' of the text between the tags."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode()}'"
