"""The documentation site, as far as it can be checked without building it: tools/check_site.py checks the built one."""

from __future__ import annotations

import posixpath
import re
import runpy
import sys

import pytest

import npresnet
import npresnet.ray
import npresnet.serve
from tests.docs.test_links import links_of
from tests.support.checkout import REPOSITORY, list_files
from tools import site_pages

tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
DOCS = REPOSITORY / "docs"
SOURCES = [path.name for path in list_files() if path.parent.as_posix() == "docs" and path.suffix in (".md", ".rst")]
GENERATED = [*site_pages.COPIED.values(), f"{site_pages.LESSONS}/index.rst"]
PAGES = [posixpath.splitext(name)[0] for name in [*SOURCES, *GENERATED]]
EXTRA_OF = {"myst_parser": "myst-parser", "sphinx_gallery.gen_gallery": "sphinx-gallery", "pydata_sphinx_theme": None}


@pytest.fixture(scope="module")
def conf():
    return runpy.run_path(str(DOCS / "conf.py"))


class App:
    """What conf.py's `setup` needs of Sphinx."""

    def __init__(self):
        self.events = {}

    def connect(self, event, listener):
        self.events[event] = listener


def test_the_configuration_needs_no_more_than_the_extra(conf):
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    extra = {re.match(r"[\w-]+", text)[0] for text in settings["project"]["optional-dependencies"]["docs"]}
    named = {name.split(".")[0].replace("_", "-") for name in [*conf["extensions"], conf["html_theme"]]}
    assert named == extra - {"matplotlib"}
    assert conf["nitpicky"]
    assert conf["release"] == npresnet.__version__


def test_the_build_needs_no_network_and_its_pages_neither(conf):
    assert "sphinx.ext.intersphinx" not in conf["extensions"]
    values = [value for name, value in conf.items() if name.startswith(("html_", "sphinx_gallery_conf"))]
    assert "http" not in repr(values)
    for path in (DOCS / "_static").iterdir():
        assert not re.search(r"(url\(|@import|href=|src=)[\s\"']*(https?:)?//", path.read_text(encoding="utf-8")), path


def test_every_page_stands_in_one_list_of_pages():
    index = (DOCS / "index.rst").read_text(encoding="utf-8")
    listed = re.findall(r"^   \w+ <([\w/]+)>$", index.partition(".. toctree::")[2], re.MULTILINE)
    assert sorted(["index", *listed]) == sorted(site_pages.TOP)
    below = [name for page in PAGES for name in site_pages.chapter_of(page, PAGES)]
    assert sorted([*listed, *below]) == sorted(set(PAGES) - {"index"})


def test_pages_that_are_missing_and_pages_that_nobody_placed():
    assert site_pages.chapter_of("ship", ["ship", "start", "serving"]) == ["serving"]
    assert site_pages.chapter_of("reference", ["gpu", "start", "a_new_page"]) == ["gpu", "a_new_page"]
    assert site_pages.chapter_of("start", PAGES) == []
    markdown = site_pages.with_chapter("# Ship\n", ["serving"], is_markdown=True)
    assert markdown.endswith("```{toctree}\n:maxdepth: 1\n\nserving\n```\n")
    assert site_pages.with_chapter("A\n=\n", ["b", "c"], is_markdown=False).endswith(":maxdepth: 1\n\n   b\n   c\n")


def test_every_public_name_is_on_the_api_page():
    page = (DOCS / "api.rst").read_text(encoding="utf-8")
    named = set(re.findall(r"^\.\. auto(?:function|class|exception):: (\S+)$", page, re.MULTILINE))
    modules = set(re.findall(r"^\.\. py:module:: npresnet\.(\w+)$", page, re.MULTILINE))
    assert {*npresnet.__all__} - named - modules == {"__version__"}
    assert "npresnet.model.labels.read" in named
    assert {*npresnet.ray.__all__, *npresnet.serve.__all__} <= named


@pytest.mark.parametrize("name", [name for name in SOURCES if name.endswith(".md")])
def test_links_lead_to_pages_of_the_site_or_files(name, tmp_path):
    page = tmp_path / name
    page.write_text(site_pages.fitted((DOCS / name).read_text(encoding="utf-8"), "docs", "docs"), encoding="utf-8")
    targets = [target.partition("#")[0] for target in links_of(page) if not re.match(r"[a-z]+:|#", target)]
    lessons = [f"{site_pages.LESSONS}/{path.stem}.rst" for path in (DOCS / "lessons").glob("*.py")]
    known = {*SOURCES, *GENERATED, *lessons}
    assert [target for target in targets if target not in known and not (DOCS / target).is_file()] == []
    assert [target for target in targets if re.search(r"lessons/|kernels/README|CHANGELOG|CONTRIBUTING", target)] == []


@pytest.mark.parametrize(
    ("folder", "site_folder", "link", "expected"),
    [
        ("docs", "docs", "[a](gpu.md#dtypes)", "[a](gpu.md#dtypes)"),
        ("docs", "docs", "[a](../kernels/README.md#x)", "[a](repository/kernels.md#x)"),
        ("docs", "docs", "[a](lessons/2_im2col_and_gemm.py)", "[a](course/2_im2col_and_gemm.rst)"),
        ("docs", "docs", "see [the scripts](../benchmarks) there", "see the scripts there"),
        ("docs", "docs", "[a](../benchmarks/report.py)", "[a](../benchmarks/report.py)"),
        ("", "docs/repository", "[a](docs/performance.md)", "[a](../performance.md)"),
        ("", "docs/repository", "[a](kernels/README.md)", "[a](kernels.md)"),
        ("kernels", "docs/repository", "[`a`](conv2d/mma.cu)", "[`a`](../../kernels/conv2d/mma.cu)"),
        ("docs", "docs", "![a](speed-layers.svg)", "![a](speed-layers.svg)"),
        ("docs", "docs", "[a](#here) <https://b.org> [c](https://b.org/d.md)", None),
        ("docs", "docs", "```text\n[a](../kernels/README.md)\n```\n", None),
    ],
)
def test_fitted_links(folder, site_folder, link, expected):
    assert site_pages.fitted(link, folder, site_folder) == (link if expected is None else expected)


def test_a_drawing_becomes_part_of_the_page():
    text = site_pages.fitted("![The layers](architecture.svg)", "docs", "docs")
    assert text.startswith("```{raw} html\n")
    assert '<svg class="house"' in text
    assert 'html[data-theme="dark"] .house' in text


def test_copies_are_written_once(conf, tmp_path):
    app = App()
    conf["setup"](app)
    app.srcdir = str(tmp_path)
    app.events["config-inited"](app, None)
    written = {path.relative_to(tmp_path).as_posix(): path.stat().st_mtime_ns for path in tmp_path.rglob("*.md")}
    assert written.keys() == set(site_pages.COPIED.values())
    site_pages.write_copies(tmp_path)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in written} == written


@pytest.mark.parametrize("page", [path.as_posix() for path in list_files() if path.suffix == ".md"])
def test_pages_are_plain_markdown(page):
    """A web host shows MyST's directives and roles as they are written."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    assert re.findall(r"^(?:```|:::)\{.*|\{(?:doc|ref|py:\w+)\}`[^`]*`|^\(.+\)=$", text, re.MULTILINE) == []
