"""Sphinx's configuration of the documentation site.

    python -m pip install '.[docs]' && python -m sphinx docs build/docs

It needs no network: nothing is fetched at build time, and the site loads nothing from elsewhere. The pages of docs/ are
plain Markdown that a web host shows as well; tools/site_pages.py fits their links to the site.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))  # this checkout is what is documented

import npresnet  # noqa: E402
from tools import site_pages  # noqa: E402

project = "npresnet"
author = "npresnet contributors"
copyright = f"2026, {author}"
version = release = npresnet.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["lessons", "**/*.ipynb", "**/*.py"]
smartquotes_action = "D"  # dashes; no quotes, for "cpu" is to be copied
default_role = "code"  # `x` is code, as in Markdown: docstrings and lessons are read in both
nitpicky = True
nitpick_ignore_regex = [  # words of docstrings
    ("py:class", r"path|file|array|iterable|callable|sequence|optional|Path|Network|Executable"),
    ("py:class", r"Weights|DataFrame|Table|FileSystem"),  # of npresnet.ray, pandas, pyarrow
]
suppress_warnings = [
    "config.cache",  # sphinx-gallery keeps classes in its settings
]

myst_heading_anchors = 4  # the web hosts' anchors
myst_enable_extensions: list[str] = []  # none: a page is what every reader of Markdown shows

autodoc_member_order = "bysource"
autodoc_mock_imports = [
    "prometheus_client",
    "python_multipart",
    "starlette",
    "uvicorn",
]  # the site needs no extra but docs
autodoc_typehints = "none"  # the sections of a docstring say it with shapes
autodoc_class_signature = "mixed"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

sphinx_gallery_conf: dict[str, Any] = {
    "examples_dirs": ["lessons"],
    "gallery_dirs": [site_pages.LESSONS],
    "filename_pattern": r"/\d_",
    "within_subsection_order": "FileNameSortKey",
    "capture_repr": ("_repr_html_", "__repr__"),
    "show_memory": False,
    "show_signature": False,
    "show_api_usage": False,
    "remove_config_comments": True,
    "plot_gallery": True,
    "abort_on_example_error": True,
    "write_computation_times": False,
    "min_reported_time": 3600,  # seconds: a page says nothing of its own making
}

html_theme = "pydata_sphinx_theme"
html_title = f"npresnet {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
written = [path.stem for path in Path(__file__).parent.glob("*.md")]
html_sidebars = {page: [] for page in site_pages.TOP if not site_pages.chapter_of(page, written)}  # nothing to list
html_favicon = "_static/icon.svg"
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "npresnet"},
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_prev_next": True,
    "header_links_before_dropdown": 8,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def setup(app: Any) -> None:
    app.connect("config-inited", lambda app, config: site_pages.write_copies(Path(app.srcdir)))
    app.connect("source-read", _fit)


def _fit(app: Any, page: str, source: list[str]) -> None:
    """The site's links and lists of pages, in a page's text."""
    is_markdown = Path(app.env.doc2path(page)).suffix == ".md"
    if is_markdown and not page.startswith(f"{site_pages.COPIES}/"):
        source[0] = site_pages.fitted(source[0], "docs", "docs")
    below = site_pages.chapter_of(page, app.env.found_docs)
    if below:
        source[0] = site_pages.with_chapter(source[0], below, is_markdown=is_markdown)
