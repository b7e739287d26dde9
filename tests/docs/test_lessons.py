"""Every lesson runs from top to bottom, shows something, and is text and code that both its readers understand."""

from __future__ import annotations

import ast
import os
import re
import runpy
from itertools import pairwise

import pytest

from tests.support.checkout import REPOSITORY

LESSONS = sorted((REPOSITORY / "docs" / "lessons").glob("*.py"))
CELL = re.compile(r"^# %%( \[markdown\])?\n((?:^#.*\n)*)", re.MULTILINE)


def texts_of(program: str) -> list[str]:
    """The title's docstring and the text cells, without their `#`."""
    cells = [re.sub(r"^# ?", "", cell[2], flags=re.MULTILINE) for cell in CELL.finditer(program) if cell[1]]
    return [ast.get_docstring(ast.parse(program)) or "", *cells]


def problems_of_text(text: str) -> list[str]:
    """What Markdown or reStructuredText would not understand."""
    lines = text.splitlines()
    found = [line for line in lines if re.match(r"#+ |```|\.\. ", line) or re.search(r"\]\(|``|\S`_", line)]
    for above, line in pairwise(lines):
        if re.fullmatch(r"[=-]{3,}", line) and len(above) != len(line):
            found.append(line)
    return found


@pytest.fixture
def pyplot():
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
@pytest.mark.parametrize("lesson", LESSONS, ids=[path.stem for path in LESSONS])
def test_a_lesson_runs_and_shows_something(lesson, pyplot, capsys):
    runpy.run_path(os.fspath(lesson), run_name="__main__")
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) >= 5
    assert str(REPOSITORY) not in printed
    figures = [pyplot.figure(number) for number in pyplot.get_fignums()]
    assert figures
    assert all(axis.has_data() or axis.images for figure in figures for axis in figure.axes)


@pytest.mark.parametrize("lesson", LESSONS, ids=[path.stem for path in LESSONS])
def test_a_lesson_is_read_as_markdown_and_as_restructured_text(lesson):
    program = lesson.read_text(encoding="utf-8")
    title, underline, *_ = texts_of(program)[0].splitlines()
    assert title.startswith(f"{lesson.stem[0]}. ")
    assert underline == "=" * len(title)
    cells = CELL.findall(program)
    assert sum(not is_text for is_text, _ in cells) >= 5
    assert [text for is_text, text in cells if not is_text and text] == [], "sphinx-gallery takes it for text"
    assert [problem for text in texts_of(program) for problem in problems_of_text(text)] == []


def test_problems_of_text():
    sound = "A title\n=======\n\nSee `x`, and::\n\n    y = 2\n\n- one\n- two\n"
    assert problems_of_text(sound) == []
    wrong = "# A title\n\nTwo\n----\n\n```text\n\n[a](b.md) and ``x`` `c`_\n"
    assert problems_of_text(wrong) == ["# A title", "```text", "[a](b.md) and ``x`` `c`_", "----"]
