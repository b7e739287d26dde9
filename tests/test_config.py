"""Config as a table."""

from __future__ import annotations

from npresnet.config import Config, Decision


def test_the_table_has_one_line_per_decision_for_any_note():
    config = Config({"arch": Decision("a\nb", "file", "\x1b[31mred"), "labels": Decision("x" * 90, "caller")})
    first, second = str(config).splitlines()
    assert first.split() == ["arch", "a\\nb", "file", "told", "\\x1b[31mred"]
    assert second.split()[1] == "x" * 47 + "…"


def test_a_decision_is_told_or_custom_or_ambiguous():
    custom = Decision(False, "default", "usual after a 3x3 stem")
    ambiguous = custom._replace(alternatives=("max_pool=True", "max_pool=[3, 2, 0, true]"))
    config = Config({"arch": Decision("resnet18", "inferred"), "stride_on": custom, "max_pool": ambiguous})
    assert [decision.certainty for decision in config.values()] == ["told", "custom", "ambiguous"]
    assert config.ambiguous() == {"max_pool": ambiguous}
    assert config.to_dict()["max_pool"]["alternatives"] == ["max_pool=True", "max_pool=[3, 2, 0, true]"]
    assert str(config).splitlines()[2].endswith("stem; or max_pool=True, max_pool=[3, 2, 0, true]")
