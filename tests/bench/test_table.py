"""A table as aligned text and as Markdown."""

from __future__ import annotations

from npresnet.bench.table import Table


def test_text_columns_stay_on_the_left():
    table = Table(["a", "b", "c"], [["x", "1", "long"], ["y", "22", "s"]], texts=(0, 2))
    assert table.to_text().splitlines()[2:] == ["x   1  long", "y  22  s"]
    assert table.to_markdown().splitlines()[1] == "| --- | ---: | --- |"


def test_markdown_has_a_rule_and_equal_columns():
    text = Table(["a", "b"], [["x", "1"], ["y", "22"]]).to_markdown()
    assert text.splitlines() == ["| a | b |", "| --- | ---: |", "| x | 1 |", "| y | 22 |"]


def test_columns_without_a_value_go_and_the_others_keep_their_side():
    table = Table(["name", "empty", "text", "n"], [["x", "", "", "1"], ["longer", "", "b", "20"]], texts=(0, 2))
    kept = table.without_empty()
    assert (list(kept.header), kept.texts) == (["name", "text", "n"], [0, 1])
    assert kept.to_text().splitlines()[2:] == ["x              1", "longer  b     20"]
