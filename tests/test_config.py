"""Config as a table."""

from __future__ import annotations

from npresnet.config import Config, Decision


def test_the_table_has_one_line_per_decision_for_any_note():
    config = Config({"arch": Decision("a\nb", "file", "\x1b[31mred"), "labels": Decision("x" * 90, "caller")})
    first, second = str(config).splitlines()
    assert first.split() == ["arch", "a\\nb", "file", "\\x1b[31mred"]
    assert second.split()[1] == "x" * 47 + "…"
