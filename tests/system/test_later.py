"""Tables whose entries are made when they are looked up."""

from __future__ import annotations

import pytest

from npresnet.system.later import Later, Table, attribute


def test_an_entry_is_made_once_and_when_it_is_asked_for():
    made = []
    table = Table({"now": 1, "later": Later(lambda: made.append(2) or len(made)), "never": Later(lambda: 1 // 0)})
    assert list(table) == ["now", "later", "never"]
    assert len(table) == 3
    assert "never" in table
    assert "other" not in table
    assert (table.get("other"), table.get("now"), made) == (None, 1, [])
    assert (table["later"], table["later"], made) == (1, 1, [2])
    with pytest.raises(KeyError):
        table["other"]
    with pytest.raises(ZeroDivisionError):
        table["never"]


def test_what_a_module_has():
    table = Table({"root": attribute("math", "sqrt")})
    assert table["root"](9) == 3
    assert dict(table) == {"root": table["root"]}
