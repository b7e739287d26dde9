"""No command replaces a file that it reads."""

from __future__ import annotations

import pytest

COMMANDS = [
    "predict photos --json -o photos/002.png",
    "predict photos/002.png --csv -o link.png",
    "explain photos/002.png -o photos/002.png",
    "trace photos/002.png -o ./photos/../photos/002.png",
    "ladder --image photos/002.png --html photos/002.png",
    "eval labels.csv --confusion labels.csv",
    "predict photos --labels names.json -o names.json",
    "embed photos --labels names.json -o names.json",
    "eval labels.csv --confusion photos/002.png",
    "eval labels.csv --classes map.csv --confusion map.csv",
]


@pytest.mark.parametrize("words", COMMANDS)
def test_what_is_read_is_not_overwritten(run, folder, model_file, words):
    (folder / "labels.csv").write_text("path,label\nphotos/002.png,cat\n")
    (folder / "map.csv").write_text("cat,cat\n")
    (folder / "names.json").write_text("[]")
    (folder / "link.png").symlink_to(folder / "photos" / "002.png")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = run(*words.split(), "--model", model_file)
    assert (done.code, done.out) == (2, "")
    assert f"{words.split()[-1]} is what this command reads, and would be overwritten" in done.err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_other_files_are_replaced(run, folder, model_file):
    (folder / "page.html").write_text("old")
    assert run("explain", "photos/002.png", "-o", "page.html", "--model", model_file).code == 0
    assert (folder / "page.html").read_text(encoding="utf-8") != "old"
    (folder / "out.json").write_text("old")
    assert run("predict", "photos/002.png", "out.json", "-o", "out2.json", "--model", model_file).code == 1
    assert run("predict", "photos", "-o", "out.json", "--model", model_file).code == 0


def test_an_empty_name_of_a_model_is_not_the_demo(run, folder):
    for command in (["predict", "photos"], ["embed", "photos"], ["cam", "photos/000.png", "-o", "out.png"]):
        done = run(*command, "--model", "")
        assert done.code == 1
        assert done.out in ("", "[\n]\n")
        assert "'' is neither an existing file nor the name of weights" in done.err
