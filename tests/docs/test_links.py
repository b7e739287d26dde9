"""Relative links of all Markdown files lead to a file of the repository and to a heading that is there."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.support import checkout

markdown_it = pytest.importorskip("markdown_it")

FILES = {path.as_posix(): checkout.REPOSITORY / path for path in checkout.list_files()}
PAGES = [name for name in FILES if name.endswith(".md")]
EXTERNAL = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def tokens_of(path: Path) -> list:
    return markdown_it.MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))


def links_of(path: Path) -> Iterator[str]:
    """Targets of links and pictures."""
    for token in tokens_of(path):
        for child in token.children or ():
            target = child.attrs.get("href", child.attrs.get("src"))
            if target is not None:
                yield unquote(str(target))


def anchors_of(path: Path) -> list[str]:
    """What GitHub calls the headings: lower case, hyphens for spaces, no punctuation; repeated ones are numbered."""
    anchors: list[str] = []
    tokens = tokens_of(path)
    for opening, heading in pairwise(tokens):
        if opening.type == "heading_open":
            words = "".join(child.content for child in heading.children)
            anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            count = sum(known == anchor or known.rpartition("-")[0] == anchor for known in anchors)
            anchors.append(f"{anchor}-{count}" if count else anchor)
    return anchors


def problem_of(target: str, page: str, files: dict[str, Path]) -> str | None:
    """What is wrong with a link of `page`, a key of `files` ({path in the repository: file}); None for a sound one."""
    if EXTERNAL.match(target):
        return None
    path, _, anchor = target.partition("#")
    name = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
    if name not in files:
        is_folder = any(other.startswith(f"{name}/") for other in files)
        return None if is_folder and not anchor else "no such file"
    return "no such heading" if anchor and anchor not in anchors_of(files[name]) else None


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    problems = {target: problem_of(target, page, FILES) for target in links_of(FILES[page])}
    assert {target: problem for target, problem in problems.items() if problem} == {}


def test_the_readme_leads_to_every_page():
    linked = {posixpath.normpath(target.partition("#")[0]) for target in links_of(FILES["README.md"])}
    pages = {name for name in PAGES if posixpath.dirname(name) == "docs"}
    assert len(pages) >= 9
    assert pages | {"CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "THIRD_PARTY.md", "kernels/README.md"} <= linked


def test_anchors(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# What `npresnet` does, in C++\n\n## Two words\n\n```sh\n# no heading\n```\n\n## Two words\n")
    assert anchors_of(page) == ["what-npresnet-does-in-c", "two-words", "two-words-1"]


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("[b](b.md)", None),
        ("[b](./b.md#a-heading)", None),
        ("[above](../top.md) and [folder](../docs)", None),
        ("[here](#here)", None),
        ("<https://example.org/nowhere.md>", None),
        ("[b](c.md)", "no such file"),
        ("![picture](c.svg)", "no such file"),
        ("[outside](../../top.md)", "no such file"),
        ("[b](b.md#another)", "no such heading"),
        ("[here](#there)", "no such heading"),
        ("| table |\n| --- |\n| [b](c.md) |", "no such file"),
    ],
)
def test_a_wrong_link_is_found(tmp_path, link, problem):
    files = {name: tmp_path / name for name in ("top.md", "docs/a.md", "docs/b.md")}
    (tmp_path / "docs").mkdir()
    files["top.md"].write_text("# Top\n")
    files["docs/b.md"].write_text("# A heading\n")
    files["docs/a.md"].write_text(f"# Here\n\n{link}\n")
    targets = list(links_of(files["docs/a.md"]))
    assert targets
    assert {problem_of(target, "docs/a.md", files) for target in targets} == {problem}
