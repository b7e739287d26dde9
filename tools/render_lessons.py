"""The lessons of docs/lessons: run them, and render them as HTML pages.

    python tools/render_lessons.py                      all lessons, into build/book
    python tools/render_lessons.py docs/lessons/1_*.py -o somewhere

A lesson is a Python program in cells, as editors and Jupyter know them: `# %% [markdown]` begins a text, `# %%` code.
A code cell shows what it prints, then its last line's value where that is an expression; text that begins with `<svg`
is a picture. Any error stops everything: a lesson whose code does not run is wrong. Needs `pip install '.[docs]'`.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import html
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))  # the checkout, where npresnet is not installed

LESSONS = REPOSITORY / "docs" / "lessons"
STYLES = (REPOSITORY / "npresnet" / "teach" / "pages" / "page.css", REPOSITORY / "docs" / "lessons.css")
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<nav class="contents" aria-label="Lessons"><ol>{links}</ol></nav>
<main class="lesson">
{body}
</main>
</body>
</html>
"""


class Cell(NamedTuple):
    """A piece of a lesson: "markdown" or "code", its text, and the line in the file where it begins."""

    kind: str
    text: str
    line: int


class Output(NamedTuple):
    """What a code cell showed: what it printed, and its value, as text or as an SVG picture."""

    printed: str
    value: str


def read_cells(program: str) -> list[Cell]:
    """The cells in order; what stands before the first marker is a code cell."""
    cells: list[Cell] = []
    kind, lines, start = "code", [], 1
    for number, line in enumerate([*program.splitlines(), "# %%"], start=1):
        if line.startswith("# %%"):
            text = "\n".join(lines).strip("\n")
            if kind == "markdown":
                text = "\n".join(part[2:] if part.startswith("# ") else part[1:] for part in text.splitlines())
            if text:
                cells.append(Cell(kind, text, start))
            kind, lines, start = ("markdown" if "[markdown]" in line else "code"), [], number + 1
        else:
            lines.append(line)
    return cells


def run_cells(cells: Sequence[Cell], file: str) -> Iterator[tuple[Cell, Output]]:
    """Run the code cells in one namespace. Whatever they raise passes through, with the lesson's own line numbers."""
    space: dict[str, Any] = {"__name__": "__main__", "__file__": file}
    for cell in cells:
        yield cell, _run(cell, file, space) if cell.kind == "code" else Output("", "")


def _run(cell: Cell, file: str, space: dict[str, Any]) -> Output:
    tree = ast.parse(cell.text, file)
    ast.increment_lineno(tree, cell.line - 1)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, file, "exec"), space)
        value = eval(compile(ast.Expression(last.value), file, "eval"), space) if isinstance(last, ast.Expr) else None
    shown = value if isinstance(value, str) and value.startswith("<svg") else "" if value is None else repr(value)
    return Output(printed.getvalue(), shown)


def render(path: Path, lessons: Sequence[Path]) -> str:
    """Run one lesson and return its page."""
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark").enable("table")
    cells = read_cells(path.read_text(encoding="utf-8"))
    parts = []
    for cell, output in run_cells(cells, str(path)):
        parts.append(markdown.render(cell.text) if cell.kind == "markdown" else _code(cell.text))
        parts.append(_output(output))
    style = "\n".join(file.read_text(encoding="utf-8") for file in STYLES)
    links = "".join(_link(lesson, lesson == path) for lesson in lessons)
    fields = {"title": html.escape(title_of(cells)), "style": style, "links": links, "body": "\n".join(parts)}
    return PAGE.format(**fields)


def title_of(cells: Sequence[Cell]) -> str:
    """The first heading."""
    first = next(cell.text for cell in cells if cell.kind == "markdown")
    return first.splitlines()[0].lstrip("# ")


def _link(lesson: Path, here: bool) -> str:
    title = html.escape(title_of(read_cells(lesson.read_text(encoding="utf-8"))))
    return f"<li><b>{title}</b></li>" if here else f'<li><a href="{lesson.stem}.html">{title}</a></li>'


def _code(text: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    coloured: str = highlight(text, PythonLexer(), HtmlFormatter(cssclass="code", wrapcode=True))
    return coloured


def _output(output: Output) -> str:
    parts = [f'<pre class="output">{html.escape(output.printed)}</pre>'] if output.printed.strip() else []
    if output.value.startswith("<svg"):
        parts.append(f'<figure class="scroll">{output.value}</figure>')
    elif output.value:
        parts.append(f'<pre class="output">{html.escape(output.value)}</pre>')
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    """Render, and say what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", nargs="*", type=Path, help="all of docs/lessons by default")
    parser.add_argument("-o", "--output", type=Path, default=REPOSITORY / "build" / "book", metavar="DIR")
    options = parser.parse_args(arguments)
    everything = sorted(LESSONS.glob("*.py"))
    options.output.mkdir(parents=True, exist_ok=True)
    for path in options.lessons or everything:
        page = options.output / f"{path.stem}.html"
        page.write_text(render(path.resolve(), everything), encoding="utf-8")
        print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
