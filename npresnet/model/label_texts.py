"""Names of classes in texts, as people write and print them; what is not clearly one of these forms is refused.

    ant                      a name a line
    0 ant   0:ant   0,ant    a number and a name a line, also with tabs or semicolons, or the name first (ant,0): the
                             numbers are the indices, each from 0 on once, in any order. Where both are numbers, a
                             first line "name,index" or "index,name" tells which; it may name further columns
    ant,bee,crane            one line of comma-separated values
    ['ant', 'bee']           a list, tuple or dict of Python, also as NumPy prints an array, or without its brackets
    names: [ant, bee]        YAML, see `yaml_names`
    n02219486 ant            a WordNet id and a name a line, as in Caffe's synset_words.txt: the names

A line that is a number alone is a name; so is one of numbered lines that repeat a number after a space ("2012 Audi").
"""

from __future__ import annotations

import ast
import csv
import io
import re
from typing import Any

from npresnet.errors import ArchitectureError
from npresnet.model import label_doubts as doubts
from npresnet.model.label_columns import Pairs, head_of, table
from npresnet.model.yaml_names import KEY, read_yaml
from npresnet.system.text import visible

MAX_LITERAL_CHARACTERS = 2**20
MAX_NAME = 1_000  # characters of a line
_SHOWN_LINES, _SHOWN_CHARACTERS = 3, 60
_STRING = r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\""""
_TOKENS = re.compile(rf"(?P<string>{_STRING})|(?P<space>\s+)|(?P<other>.)", re.DOTALL)
_NUMBERED = re.compile(r"(\d{1,9})(?:\s*([:,;\t])\s*|\s+)(.*\S.*)")
_NAMED = re.compile(r"(.*\S)\s*([:,;\t])\s*(\d{1,9})")
_QUOTED_NUMBER = re.compile(r'^"(\d{1,9})"(?=\s*[,;\t])|(?<=[,;\t])"(\d{1,9})"$')
_WORDNET_ID = re.compile(r"n\d{8}")
_AFTER_ID = re.compile(rf"{_WORDNET_ID.pattern}[\s,:]+(\S.*)")


def parse(text: str, path: str) -> Any:
    """A list of names, or what a dict of the text says. Raises ArchitectureError, which shows its first lines."""
    stripped = text.strip()
    if "\0" in text:
        raise refused(text, path, "it holds NUL characters, so it is no text")
    if path.lower().endswith((".yaml", ".yml")) or re.search(rf"^{KEY}\s*:", text, re.MULTILINE):
        return read_yaml(text, path)
    if stripped.startswith(("[", "{", "(")) and not _all_in_brackets(stripped.splitlines()):
        return _literal(stripped, path)
    return _from_lines(text.splitlines(), path)


def refused(text: str, path: str, why: str) -> ArchitectureError:
    """The error: what was read, the rule, the way out."""
    lines = [line for line in text.splitlines() if line.strip()]
    shown = " / ".join(visible(line.strip()[:_SHOWN_CHARACTERS]) for line in lines[:_SHOWN_LINES])
    more = " / ..." if len(lines) > _SHOWN_LINES else ""
    return ArchitectureError(
        f"{path}: {why}. It begins: {shown}{more}. Write one name a line in the order of the outputs, or JSON: "
        '["ant", "bee"] or {"0": "ant", "1": "bee"}'
    )


# --- Python ----------------------------------------------------------------------------------------------------------


def _all_in_brackets(lines: list[str]) -> bool:
    """Names such as [cat], each on its line."""
    return len(lines) > 1 and all(re.fullmatch(r"""[\[({][^\[\](){}'":,]*[\])}]""", line.strip()) for line in lines)


def _literal(text: str, path: str) -> Any:
    """A list, tuple or dict as Python prints it; nothing is run."""
    try:
        tree = ast.parse(text, mode="eval") if len(text) <= MAX_LITERAL_CHARACTERS else None
        found = None if tree is None else ast.literal_eval(tree)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        tree = found = None
    if tree is None or not isinstance(found, (dict, list, tuple, set)):
        raise refused(text, path, "this is neither JSON nor a list or dict as Python prints it")
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict) and len(ast.literal_eval(node)) != len(node.keys):
            raise refused(text, path, "a key stands there twice")
    if not _strings_beside_each_other(text):
        return found
    if re.fullmatch(rf"\[\s*(?:(?:{_STRING})\s*)+\]", text):  # NumPy prints no commas
        return [_string(one[0], text, path) for one in re.finditer(_STRING, text)]
    raise refused(text, path, "two strings stand beside each other without a comma")


def _string(quoted: str, text: str, path: str) -> str:
    try:
        found: str = ast.literal_eval(quoted)
    except (ValueError, SyntaxError):
        raise refused(text, path, f"{quoted[:40]} is no string as Python prints it") from None
    return found


def _strings_beside_each_other(text: str) -> bool:
    """As Python joins them: 'ant' 'bee' would be one name."""
    before = ""
    for found in _TOKENS.finditer(text):
        kind = found.lastgroup or ""
        if kind == before == "string":
            return True
        before = before if kind == "space" else kind
    return False


# --- lines -----------------------------------------------------------------------------------------------------------


def _from_lines(lines: list[str], path: str) -> Any:
    text = "\n".join(lines)
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    _check(doubts.of_file([name for name in names if name]), text, path)
    if "" in names:
        raise ArchitectureError(
            f"line {names.index('') + 1} of {path} is empty, so the names after it would be assigned to wrong classes; "
            "remove the line, or add the missing name"
        )
    if len(names) == 1:
        return _one_line(names[0], text, path)
    if max(map(len, names), default=0) > MAX_NAME:
        raise refused(text, path, f"a line has more than {MAX_NAME:,} characters")
    numbered = _numbered(names, text, path)
    found = _unquoted(names, text, path) if numbered is None else numbered
    _check(doubts.of_names(list(found.values()) if isinstance(found, dict) else found), text, path)
    return found


def _check(why: str, text: str, path: str) -> None:
    if why:
        raise refused(text, path, why)


def _one_line(line: str, text: str, path: str) -> list[str]:
    """Comma-separated names, or one name, perhaps with its number."""
    for separator in (",", "\t", ";"):
        try:
            cells = next(csv.reader(io.StringIO(line), delimiter=separator, skipinitialspace=True))
        except csv.Error as error:
            raise refused(text, path, f"the line cannot be read as comma-separated names ({error})") from None
        if len(cells) == 2 and cells[0].strip().isdecimal() != cells[1].strip().isdecimal():
            raise refused(text, path, "one line of a number and a name may be one class or two")
        if {*map(str.lower, cells)} & doubts.NAME_WORDS and {*map(str.lower, cells)} & doubts.INDEX_WORDS:
            raise refused(text, path, "its only line may name columns of number and name")
        if len(cells) > 1:
            names = [_without_quotes(cell.strip()) for cell in cells]
            return names if names[-1] else names[:-1]
    if _strings_beside_each_other(line):
        raise refused(text, path, "two strings stand beside each other without a comma")
    numbered = _numbered([line], text, path)
    return list(numbered.values()) if numbered else [_without_quotes(line)]


def _numbered(names: list[str], text: str, path: str) -> dict[int, Any] | None:
    """{index: name} if every line has a number; None if the lines are names."""
    names = [_QUOTED_NUMBER.sub(r"\1\2", name) for name in names]
    head = head_of(names[0]) if len(names) > 1 else None
    rest = names[1:] if head else names
    readings = table(rest, head) if head and head.width > 2 else _readings(rest)
    if not readings:
        if head:
            raise refused(text, path, "the first line names columns of number and name, which other lines lack")
        if any(_are_indices(pairs) for pairs in _readings(names[1:]) if len(pairs) > 1):
            raise refused(text, path, "every line but the first has a number, its index")
        _check(doubts.of_lines(names), text, path)
        return None
    if head and len(readings) == 2:
        readings = [readings[head.name_column < head.number_column]]
    found = [_by_number(pairs) for pairs in readings if _are_indices(pairs)]
    if len(found) == 2 and found[0] != found[1]:
        raise refused(text, path, "both numbers of each line may be the index")
    if found:
        return found[0]
    numbers = [number for number, _, _ in readings[0]]
    if len(set(numbers)) < len(numbers) and not head and not any(separator for *_, separator in readings[0]):
        return None  # 2012 Audi, 2012 BMW
    raise refused(text, path, f"its numbers are not the indices from 0 to {len(numbers) - 1}, each once")


def _readings(lines: list[str]) -> list[Pairs]:
    """With the number first, with the name first; where names are numbers it may be either."""
    first = doubts.all_match(_NUMBERED.fullmatch, lines)
    if not first:
        last = doubts.all_match(_NAMED.fullmatch, lines)
        return [[(int(found[3]), found[1], found[2]) for found in last]] if last else []
    pairs = [(int(found[1]), found[3], found[2] or "") for found in first]
    if not all(re.fullmatch(r"\d{1,9}", name.strip()) for _, name, _ in pairs):
        return [pairs]
    return [pairs, [(int(found[3]), found[1], found[2] or "") for found in first]]


def _are_indices(pairs: Pairs) -> bool:
    return sorted(number for number, _, _ in pairs) == list(range(len(pairs)))


def _by_number(pairs: Pairs) -> dict[int, Any]:
    return {number: _cells(name, separator or ",") for number, name, separator in pairs}


def _cells(name: str, separator: str) -> Any:
    """The name after a number: quotes are taken off; of a WordNet id and a name it is the name."""
    cells = next(csv.reader(io.StringIO(name), delimiter=separator, skipinitialspace=True), [name])
    if len(cells) == 1 or _WORDNET_ID.fullmatch(cells[0].strip()):
        return separator.join(cells[1:]).strip() or _without_quotes(cells[0].strip())
    return _without_quotes(name)


def _unquoted(names: list[str], text: str, path: str) -> list[str]:
    """Quotes and commas of a list's lines are taken off where every line has them."""
    if all(re.fullmatch(rf"(?:{_STRING})", name.removesuffix(",")) for name in names):
        if len({name.endswith(",") for name in names[:-1]}) > 1:
            raise refused(text, path, "commas end some lines and not others")
        return [_string(name.removesuffix(","), text, path) for name in names]
    with_ids = doubts.all_match(_AFTER_ID.fullmatch, names)
    return [_without_quotes(found[1]) for found in with_ids] or names


def _without_quotes(name: str) -> str:
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] and name[0] in "'\"" else name
