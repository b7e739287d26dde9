"""Every lesson runs from top to bottom, shows something, and renders to a page that loads nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.checkout import REPOSITORY
from tools import render_lessons

LESSONS = sorted((REPOSITORY / "docs" / "lessons").glob("*.py"))


@pytest.mark.parametrize("lesson", LESSONS, ids=[path.stem for path in LESSONS])
def test_a_lesson_runs_and_renders(lesson):
    page = render_lessons.render(lesson, LESSONS)
    assert "Content-Security-Policy" in page
    assert not re.search(r"<(script|iframe|object)|(src|href)\s*=\s*[\"']?(https?:)?//", page)
    cells = render_lessons.read_cells(lesson.read_text(encoding="utf-8"))
    assert sum(cell.kind == "code" for cell in cells) >= 5
    assert page.count('class="output"') + page.count("<svg") >= 4
    assert str(REPOSITORY) not in page


def test_cells_and_what_they_show(tmp_path):
    program = '# %% [markdown]\n# # A title\n#\n# text\n\n# %%\nx = 2\nprint("x", x)\nx * 21\n\n# %%\n"<svg></svg>"\n'
    cells = render_lessons.read_cells(program)
    assert [(cell.kind, cell.line) for cell in cells] == [("markdown", 2), ("code", 7), ("code", 12)]
    assert cells[0].text == "# A title\n\ntext"
    outputs = [output for _, output in render_lessons.run_cells(cells, "lesson.py")]
    assert outputs[1:] == [("x 2\n", "42"), ("", "<svg></svg>")]
    path = tmp_path / "1_<b>.py"
    path.write_text(program.replace("x * 21", '"<b>&"'))
    page = render_lessons.render(path, [path])
    assert "&lt;b&gt;&amp;" in page
    assert '<figure class="scroll"><svg></svg></figure>' in page
    assert render_lessons.main([str(path), "-o", str(tmp_path / "book")]) == 0
    assert (tmp_path / "book" / "1_<b>.html").exists()


def test_an_error_names_the_lesson_s_own_line(tmp_path):
    path = tmp_path / "wrong.py"
    path.write_text("# %% [markdown]\n# # Wrong\n# %%\nx = 1\n\n1 / 0\n")
    with pytest.raises(ZeroDivisionError) as raised:
        render_lessons.render(path, [path])
    assert raised.traceback[-1].lineno + 1 == 6
    assert Path(str(raised.traceback[-1].path)) == path
