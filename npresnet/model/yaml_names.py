"""The class names of a YAML file, of the forms in which data sets have them, and of no others.

    names: [ant, bee]      names: {0: ant, 1: bee}      names:        names:
                                                          - ant         0: ant
                                                          - bee         1: bee

with comments, quotes, and other keys around it; or such a list, or lines `0: ant`, without a key. Anything else of YAML
(anchors, tags, several lines of text, nesting) under that key is refused, and so is a key that stands there twice.
Words such as `no` and `on` are names, not truths.
"""

from __future__ import annotations

import re
from typing import Any

from npresnet.errors import ArchitectureError
from npresnet.system.text import visible

KEYS = ("names", "classes", "class_names", "labels", "id2label", "class_to_idx")
KEY = rf"(?:{'|'.join(KEYS)})"
_ITEM = re.compile(r"-\s+(.*)")
_PAIR = re.compile(r"""('[^']*'|"[^"]*"|[^:'"#\[\]{},]+?)\s*:\s+(.*)""")
_FIRST = r"""[^\s'"\[\]{},&*!|>%@`#?:-]"""
_PLAIN = re.compile(rf"{_FIRST}(?:[^#:]|:(?=\S)|(?<=\S)#)*")
_PLAIN_IN_FLOW = re.compile(rf"{_FIRST}(?:[^#:,\[\]{{}}]|:(?=\S)|(?<=\S)#)*")
MAX_NAME = 1_000  # characters


def read_yaml(text: str, path: str) -> Any:
    """A list, or {key: {name: value}}, whose meaning `labels` knows. Raises ArchitectureError, which shows the line."""
    lines = [(number, _without_comment(line)) for number, line in enumerate(text.splitlines(), start=1)]
    lines = [(number, line) for number, line in lines if line.strip() and line.strip() not in ("---", "...")]
    starts = [i for i, (_, line) in enumerate(lines) if re.match(rf"{KEY}\s*:(\s|$)", line)]
    if len(starts) != 1:
        if not starts and lines and all(re.match(r"- |(['\"]?)\d{1,9}\1\s*:\s", line) for _, line in lines):
            return _block(lines, path)
        raise _refused(path, lines[:1], f"expected one key of {', '.join(KEYS)}, found {len(starts)}")
    number, line = lines[starts[0]]
    key, _, rest = line.partition(":")
    block = _block_of(lines[starts[0] + 1 :])
    if not rest.strip() and not block:
        raise _refused(path, [(number, line)], "expected names under the key")
    if rest.strip():
        found = _flow(" ".join([rest.strip(), *(inner.strip() for _, inner in block)]), path, number)
    else:
        found = _block(block, path)
    return {key.strip(): found}


def _block_of(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The lines under a key: those that are indented, or items of its list."""
    found = []
    for number, line in lines:
        if not line.startswith((" ", "\t", "- ", "]", "}")):
            break
        found.append((number, line))
    return found


def _block(lines: list[tuple[int, str]], path: str) -> Any:
    indents = {len(line) - len(line.lstrip(" ")) for _, line in lines}
    if len(indents) != 1 or any("\t" in line for _, line in lines):
        raise _refused(path, lines[:2], "expected names under the key, all with the same indentation")
    items = [_ITEM.fullmatch(line.strip()) for _, line in lines]
    if all(items):
        return [_scalar(item[1], path, line) for item, line in zip(items, lines, strict=True) if item]
    return _pairs([(number, line.strip()) for number, line in lines], path)


def _flow(text: str, path: str, number: int) -> Any:
    """[ant, bee] or {0: ant, 1: bee}, perhaps from several lines."""
    here = (number, text)
    if (text[0], text[-1]) not in (("[", "]"), ("{", "}")):
        raise _refused(path, [here], "expected [names] or {index: name}")
    parts = _parts(text[1:-1].strip().removesuffix(","))
    if parts is None:
        raise _refused(path, [here], "a quote is not closed")
    if text[0] == "{":
        return _pairs([(number, part) for part in parts], path, _PLAIN_IN_FLOW)
    return [_scalar(part, path, here, _PLAIN_IN_FLOW) for part in parts]


def _parts(inner: str) -> list[str] | None:
    """Between the commas that stand in no quotes, which begin a name: not that of it's. None if one is not closed."""
    parts, start, quote, is_fresh = [], 0, "", True
    for position, letter in enumerate(inner):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and (is_fresh or inner[position - 1] == letter):  # '' in quotes
            quote = letter
        elif letter == ",":
            parts.append(inner[start:position].strip())
            start = position + 1
        is_fresh = letter in ",:" or (letter == " " and is_fresh)
    return None if quote else [*parts, *([inner[start:].strip()] if inner else [])]


def _pairs(lines: list[tuple[int, str]], path: str, plain: re.Pattern[str] = _PLAIN) -> dict[str, Any]:
    """The values are names, or where all are numbers indices."""
    found: dict[str, Any] = {}
    for number, line in lines:
        pair = _PAIR.fullmatch(line) if len(line) <= MAX_NAME else None
        if pair is None:
            raise _refused(path, [(number, line)], "expected `index: name`")
        key = _scalar(pair[1], path, (number, line))
        if key in found:
            raise _refused(path, [(number, line)], f"the key {key} stands there twice")
        found[key] = _scalar(pair[2], path, (number, line), plain)
    by_index = all(key.isdecimal() for key in found)
    if not by_index and all(value.isdecimal() for value in found.values()):
        return {key: int(value) for key, value in found.items()}
    return found


def _scalar(text: str, path: str, line: tuple[int, str], plain: re.Pattern[str] = _PLAIN) -> str:
    """A name without its quotes."""
    text = text.strip()
    if len(text) > MAX_NAME:
        raise _refused(path, [line], f"a name of more than {MAX_NAME:,} characters")
    if len(text) > 1 and text[0] == text[-1] == "'" and "'" not in text[1:-1].replace("''", ""):
        return text[1:-1].replace("''", "'")
    if len(text) > 1 and text[0] == text[-1] == '"' and not re.search(r'["\\]', text[1:-1]):
        return text[1:-1]
    if not plain.fullmatch(text):
        raise _refused(path, [line], "expected a name, in quotes where it has characters of YAML's own")
    return text


def _without_comment(line: str) -> str:
    """Up to a # that is not in quotes."""
    quote = ""
    for position, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and (position == 0 or line[position - 1] in " [{,:-"):
            quote = letter
        elif letter == "#" and (position == 0 or line[position - 1] in " \t"):
            return line[:position].rstrip()
    return line.rstrip()


def _refused(path: str, lines: list[tuple[int, str]], why: str) -> ArchitectureError:
    where, shown = (lines[0][0], visible(lines[0][1].strip()[:80])) if lines else (1, "")
    return ArchitectureError(
        f"{path}, line {where}: {shown!r}: {why}. Read are names: [ant, bee], names: {{0: ant}}, and the same a line "
        "each; for other YAML write the names to a text file, one a line"
    )
