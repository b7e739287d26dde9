"""The repository's Markdown as pages of the documentation site: which files are pages, and where their links lead.

Links are written for a web host that shows the repository: `../kernels/README.md`, `lessons/1_convolution_by_hand.py`.
On the site a link to a page leads to that page, one to another file of the repository downloads it, and a folder is
named without a link. Pictures that have to follow the site's light or dark theme become part of the page.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
COPIES = "repository"  # folder below docs/, not tracked: copies of Markdown from elsewhere
LESSONS = "course"  # folder below docs/, not tracked: the lessons as sphinx-gallery runs and writes them
# file of the repository -> page below docs/
COPIED = {
    "CHANGELOG.md": f"{COPIES}/changelog.md",
    "CONTRIBUTING.md": f"{COPIES}/contributing.md",
    "THIRD_PARTY.md": f"{COPIES}/third_party.md",
    "kernels/README.md": f"{COPIES}/kernels.md",
    "npresnet/data/README.md": f"{COPIES}/demo_model.md",
}
PAGES = {**COPIED, "README.md": "index.rst", "docs/lessons": f"{LESSONS}/index.rst"}
# page -> those below it; pages that docs/ lacks are left out, and those that stand nowhere are part of the reference
CHAPTERS = {
    "ship": ("shipping", "serving", "ray"),
    "measure": ("evaluation", "performance", "determinism"),
    "learning": (f"{LESSONS}/index", f"{COPIES}/kernels"),
    "reference": ("python", "command-line", "formats", "homes", "families", "gpu", "reliability"),
}
TOP = ("index", "start", *CHAPTERS, "api", "architecture", f"{COPIES}/changelog")
INLINE = ("docs/architecture.svg",)

_LINK = re.compile(r"(?P<picture>!?)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]+)\)")
_EXTERNAL = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_FENCE = re.compile(r"^```.*?^```[ \t]*$", re.MULTILINE | re.DOTALL)


def fitted(text: str, folder: str, site_folder: str) -> str:
    """A page's text with the site's links.

    folder       of the file, in the repository
    site_folder  of the page that it becomes: "docs", or "docs/repository" of a copy
    """
    parts, end = [], 0
    for fence in [*_FENCE.finditer(text), None]:
        prose = text[end : fence.start() if fence else len(text)]
        parts.append(_LINK.sub(lambda link: _fitted_link(link, folder, site_folder), prose))
        parts.append(fence[0] if fence else "")
        end = fence.end() if fence else end
    return "".join(parts)


def _fitted_link(link: re.Match[str], folder: str, site_folder: str) -> str:
    target, text = link["target"], link["text"]
    if _EXTERNAL.match(target) or target.startswith("#"):
        return link[0]
    path, _, anchor = target.partition("#")
    name = posixpath.normpath(posixpath.join(folder, path))
    if name in INLINE:
        drawing = (REPOSITORY / name).read_text(encoding="utf-8")
        return f'```{{raw}} html\n<div class="drawing" tabindex="0">\n{drawing}</div>\n```'
    page = page_of(name)
    if page is None and (REPOSITORY / name).is_dir():
        return text
    place = posixpath.relpath(name if page is None else f"docs/{page}", site_folder)
    return f"{link['picture']}[{text}]({place}{'#' * bool(anchor)}{anchor})"


def chapter_of(page: str, found: Iterable[str]) -> list[str]:
    """The pages below `page`; found: all pages of the site."""
    found = [name for name in found if not name.startswith(f"{LESSONS}/") or name == f"{LESSONS}/index"]
    below = [name for name in CHAPTERS.get(page, ()) if name in found]
    if page == "reference":
        placed = {*TOP, *(name for names in CHAPTERS.values() for name in names)}
        below += sorted(set(found) - placed)
    return below


def with_chapter(text: str, below: Iterable[str], *, is_markdown: bool) -> str:
    """The page's text and a list of the pages below it."""
    if is_markdown:
        return "\n".join([text, "## In this chapter\n", "```{toctree}", ":maxdepth: 1\n", *below, "```\n"])
    return "\n   ".join([f"{text}\n.. toctree::", ":maxdepth: 1\n", *below]) + "\n"


def page_of(name: str) -> str | None:
    """The page below docs/ that a file or folder of the repository is, None if it is none."""
    if name in PAGES:
        return PAGES[name]
    folder, file = posixpath.split(name)
    if folder == "docs/lessons" and file.endswith(".py"):
        return f"{LESSONS}/{file.removesuffix('.py')}.rst"
    return file if folder == "docs" and file.endswith((".md", ".rst")) else None


def write_copies(docs: Path) -> None:
    """Write the pages that are copies; one that is as it was keeps its time, so that a second build is quick."""
    for name, page in COPIED.items():
        text = fitted((REPOSITORY / name).read_text(encoding="utf-8"), posixpath.dirname(name), f"docs/{COPIES}")
        path = docs / page
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
