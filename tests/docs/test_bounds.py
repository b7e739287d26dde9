"""docs/bounds.md: every bound has the value that it says, and none of the code is missing."""

from __future__ import annotations

import re
from importlib import import_module

from tests.support.checkout import REPOSITORY

ROW = re.compile(
    r"^\| [^|]+ \| (?P<bound>[^|]+) \| `(?P<file>[\w/]+)\.py` `(?P<name>\w+)(\[\"(?P<key>\w+)\"\])?` \|$", re.M
)
UNITS = {"": 1, " MiB": 2**20, " GiB": 2**30}
CONSTANT = re.compile(r"^(_?(?:MAX|MOST|LIMIT)_\w+|_?MAX)\b(?=[ :][^=\n]*=)", re.M)
LOOKED_THROUGH = ("weights", "images", "model", "system", "arch/head", "arch/selection", "serve")


def rows() -> list[re.Match[str]]:
    return list(ROW.finditer((REPOSITORY / "docs" / "bounds.md").read_text(encoding="utf-8")))


def test_values_are_those_of_the_code():
    assert len(rows()) > 50
    for row in rows():
        number, unit = re.fullmatch(r"([\d,]+)( MiB| GiB)?", row["bound"]).groups()
        value = getattr(import_module(f"npresnet.{row['file'].replace('/', '.')}"), row["name"])
        found = value if row["key"] is None else value[row["key"]]
        assert found == int(number.replace(",", "")) * UNITS[unit or ""], row[0]


def test_no_bound_is_missing():
    listed = {(row["file"] + ".py", row["name"]) for row in rows()}
    package = REPOSITORY / "npresnet"
    found = {
        (file.relative_to(package).as_posix(), name)
        for folder in LOOKED_THROUGH
        for file in (package / folder).glob("*.py")
        for name in CONSTANT.findall(file.read_text(encoding="utf-8"))
    }
    assert len(found) > 40
    assert found - listed == set()
