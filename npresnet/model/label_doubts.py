"""What speaks against a text of names, one a line: it is of another format, or its lines can be read in two ways.

Each function gives the reason why the text is refused, or "".
"""

from __future__ import annotations

import re
from collections.abc import Callable

from npresnet.system.text import visible

NAME_WORDS = {"name", "label", "class", "class_name", "label_name", "category"}  # of columns, in lower case
INDEX_WORDS = {"index", "id", "idx", "class_id", "class_index", "label_id", "category_id", "unnamed: 0"}
_HEADINGS = NAME_WORDS | {
    *("names", "labels", "classes", "class_names", "label_names", "categories", "classname", "class name"),
}
_KEYS = _HEADINGS | INDEX_WORDS | {"display_name", "title", "item", "value", "key", "wnid", "synset"}
_COUNTERS = {"class", "label", "category", "cls", "output", "no", "nr", "#"} | INDEX_WORDS

_CODE = re.compile(
    r"""<!doctype|<html|<\?xml|</\w|version https://git-lfs|[\[({]\s*b?['"]|^\w+\s*=\s*[\[({]|\bdtype[:=]"""
    r"""|\w\s*\{\s*$|\w\s*\{[^{}]*[:=;]|[\])}]\s*;\s*$""",
    re.IGNORECASE,
)
_COMMENT, _FIRST_COMMENT = (re.compile(rf"(?:#+|//|;|/\*|<!--)\s{count}\w") for count in "+*")
_BULLET = re.compile(r'(?:[-*+>|=#\u2022\u2013\u2014]+\s|[|=]|"(?!.*"$))\s*\w')  # "- ant", "| ant"
_ENDS = ",;|:\\"
# "1. ant", "1 = ant", "1.0,ant", "1\uff1aant", but no decimal number
_COUNTED = re.compile(r"[\[(]?(?P<number>\d{1,9})(?:\.0+\s*[,;:\t]|[.)\]|=\uff1a\uff0c\uff0e\u3001])\s*\w*[^\W\d]")
_COUNTED_AFTER_ID = re.compile(r"n\d{8}[\s,:]+(?P<number>\d{1,9})\s+\S")  # "n02219486 1 ant"
# "class 1: ant"
_WORD_COUNTED = re.compile(
    rf"(?:{'|'.join(sorted(_COUNTERS))})[\s._#-]*(?P<number>\d{{1,9}})(?:\s*[:=.)\]|;,>-]+\s*|\s+)\S", re.IGNORECASE
)
_COUNTED_BEHIND = re.compile(r"(.*\S)(?:\s+|\s*\uff1a)(\d{1,9})|(.*\S)\s*[\[(](\d{1,9})[\])]")  # "ant 1", "ant (1)"
_WITHIN = re.compile(r"\S\s*(=>|->|=|\||\s#|\s//)\s*\S")  # "ant = 1", "ant -> 1", "ant # an insect"
_KEYED = re.compile(r"-?\s*(\w+)\s*[:=]\s*(\S)")  # "name: ant"


def of_file(lines: list[str]) -> str:
    """Of all lines that are not empty: code, another kind of file, comments, a heading."""
    if any(_CODE.search(line) for line in (*lines[:1], *lines[-1:])):
        return "this is no list of names, but code, or another kind of file"
    comments = [line for line in lines if _COMMENT.match(line)]
    comments = comments or [line for line in lines[:1] if _FIRST_COMMENT.match(line)]
    is_mark = len(lines) > 1 and all(map(_FIRST_COMMENT.match, lines))
    if comments and not is_mark:
        return f"{visible(comments[0][:40])!r} may be a comment or a name"
    return _heading(lines) if len(lines) > 1 else ""


def _heading(lines: list[str]) -> str:
    first, *others = lines
    cells = {cell.strip(" '\"").lower() for cell in re.split(r"[,;\t|]", first)}
    if cells <= _KEYS - INDEX_WORDS and cells & _HEADINGS:
        return "its first line may be the names' heading or a name"
    if first.endswith(":") and not any(line.endswith(":") for line in others):
        return "its first line ends in ':', so that it may be a heading"
    if first == str(len(others)) and not any(map(str.isdecimal, others)):
        return "its first line may be the number of names or a name"
    return ""


def of_lines(lines: list[str]) -> str:
    """Of lines that are names as they stand: what stands in each may separate a name from what is none."""
    behind = all_match(_COUNTED_BEHIND.fullmatch, lines)
    bare = {one[1] or one[3] for one in behind}
    if len(bare) == len(lines) > 1 and _are_counted([one[2] or one[4] for one in behind]):
        return "every line ends in a number, which may be its index or part of its name"  # but not "zone 0", "zone 1"
    counted = _begin_counted(all_match(_WORD_COUNTED.match, lines))
    if len(lines) < 2 or counted:
        return counted
    for number in (_COUNTED, _COUNTED_AFTER_ID):
        counted = counted or _begin_counted(all_match(number.match, lines))
    return counted or _parts(lines)


def _parts(lines: list[str]) -> str:
    pairs = [(one[1].lower(), one[2]) for one in all_match(_KEYED.match, lines)]
    if pairs and (any(key in _KEYS for key, _ in pairs) or all(begin in "'\"" for _, begin in pairs)):
        return "every line has a key before it, which may be no part of the name"
    within = all_match(_WITHIN.search, lines)
    if len({one.string[: one.start(1)].strip() for one in within}) == len(lines):  # but not "T=0", "T=1"
        return f"every line has {within[0][1].strip()!r} in it, which may separate its name from what is no part of it"
    return ""


def of_names(names: list[str]) -> str:
    """Of names that all have a list's mark or a number before them, or what separates them behind them."""
    if len(names) < 2:
        return ""
    if all(map(_BULLET.match, names)):
        mark = re.split(r"[\s\w]", names[0])[0]
        return f"every name begins with {mark!r}, which may be no part of it"
    if (end := names[0][-1]) in _ENDS and all(name.endswith(end) for name in names[:-1]):
        return f"every name ends in {end!r}, which may be no part of it"
    return _begin_counted(all_match(_COUNTED.match, names))


def all_match(match: Callable[[str], re.Match[str] | None], lines: list[str]) -> list[re.Match[str]]:
    """The matches where every line has one, else []; a hostile file has many lines that take long."""
    found = []
    for line in lines:
        one = match(line)
        if one is None:
            return []
        found.append(one)
    return found


def _begin_counted(found: list[re.Match[str]]) -> str:
    """Matches of a number before each name."""
    if found and _are_counted([one["number"] for one in found]):
        return "every line begins with a number, which may be its index or part of its name"
    return ""


def _are_counted(numbers: list[str]) -> bool:
    """Whether these are the numbers from 0, or from 1, on, each once, in any order."""
    found = sorted(map(int, numbers))
    return found in (list(range(len(found))), list(range(1, len(found) + 1)))
