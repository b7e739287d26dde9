"""The fenced blocks of README.md, CONTRIBUTING.md and docs/*.md, and which of them are run.

`python tools/readme_commands.py` prints the README's test command, which is what `.ci/run` runs. tests/test_readme.py
runs the other blocks. A block is left out by a comment on the line above its fence, with one of the reasons below:

    <!-- not run: install -->
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
README = REPOSITORY / "README.md"
RUN_LANGUAGES = ("sh", "python")
SHOWN_LANGUAGES = ("text", "json", "csv")  # outputs
FILE_LANGUAGES = ("dockerfile",)  # files to write
# reason -> what every block that is left out for it contains
REASONS = {
    "install": r"pip install",
    "test command": r"pytest",
    "download": r"resnet\d+",
    "gpu": r"cuda",
    "site": r"-m sphinx",
    "server": r"npresnet serve|127\.0\.0\.1:8000|docker run",  # tests/serve/test_docs.py runs them
    "cluster": r"\b(s3|hdfs)://|\bray\.(init|data)|\bserve\.run",
    "benchmark": r"benchmarks/\w+\.py",
    "files": r"\.(pth?|ckpt|safetensors)\b",
}

_FENCE = re.compile(r"^```(?P<language>\S*)[ \t]*\n(?P<text>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- not run: (?P<reason>[^>]*?) -->\s*\Z")
_SECTION = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, the heading it stands under, and why it is not run, if it is not."""

    page: str
    language: str
    text: str
    section: str
    line: int
    not_run: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def list_pages() -> list[Path]:
    """The pages whose blocks are run: README.md first."""
    return [README, REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def read_blocks(text: str, page: str = "README.md") -> list[Block]:
    """All fenced blocks of a page's text, in order."""
    blocks: list[Block] = []
    end = 0
    section = ""
    for fence in _FENCE.finditer(text):
        between = text[end : fence.start()]
        section = (_SECTION.findall(between) or [section])[-1]
        mark = _MARK.search(between)
        line = text.count("\n", 0, fence.start()) + 1
        blocks.append(Block(page, fence["language"], fence["text"], section, line, mark["reason"] if mark else None))
        end = fence.end()
    return blocks


def find_test_command(readme: str) -> str:
    """The one line of the first block of the section "Tests"."""
    block = next(block for block in read_blocks(readme) if block.section == "Tests")
    (command,) = block.text.splitlines()
    if block.language != "sh" or block.not_run != "test command":
        raise ValueError(f"{block}: the first block of the section Tests is to be sh, marked `not run: test command`")
    return command


if __name__ == "__main__":
    sys.stdout.write(find_test_command(README.read_text(encoding="utf-8")) + "\n")
