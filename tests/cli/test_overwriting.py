"""No command replaces a file that it reads; and what cannot be written is told before any work."""

from __future__ import annotations

import json

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
    "predict photos --json -o out.json --grid photos/002.png",
    "predict photos/*2.png --grid link.png",
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


def test_no_further_page_of_a_grid_and_none_of_a_list_on_stdin(run, folder, model_file):
    paths = [folder / "many" / f"p-{number}.png" for number in range(2, 20)]  # 18 pictures: two pages
    paths[0].parent.mkdir()
    for path in paths:
        path.write_bytes((folder / "photos" / "000.png").read_bytes())
    (folder / "many" / "p.png").symlink_to(folder / "photos" / "001.png")
    for words, listed, target in (
        (["many/*-*.png", "--grid", "many/p.png"], "", "many/p-2.png"),
        (["-", "--grid", "photos/001.png"], "photos/000.png\nphotos/001.png\n", "photos/001.png"),
        (["-", "--csv", "-o", "photos/001.png"], "photos/000.png\nphotos/001.png\n", "photos/001.png"),
    ):
        before = {path: path.read_bytes() for path in folder.rglob("*.png")}
        done = run("predict", *words, "--model", model_file, stdin=listed)
        assert (done.code, done.out) == (2, "")
        assert f"{target} is what this command reads" in done.err
        assert {path: path.read_bytes() for path in folder.rglob("*.png")} == before
    done = run("predict", "photos", "--grid", "many/p.png", "--model", model_file)  # one page, which reads none of many
    assert done.code == 2
    (folder / "many" / "p.png").unlink()
    assert run("predict", "photos", "--grid", "many/p.png", "--model", model_file).code == 0


def test_the_image_on_stdin_beside_outputs_that_are_there(run, folder, model_file):
    data = (folder / "photos" / "003.png").read_bytes()
    for _ in range(2):
        words = ["--grid", "grid.png", "-o", "out.jsonl", "--model", model_file]
        assert run("predict", "-", *words, stdin=data).code == 0
        assert json.loads((folder / "out.jsonl").read_text())["path"] == "-"
        assert run("embed", "-", "-o", "out.npy", "--model", model_file, stdin=data).code == 0


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


WRITERS = [
    "predict photos --json -o {out}.json",
    "predict photos --grid {out}.png",
    "embed photos -o {out}.npy",
    "embed photos -o {out}.npz",
    "embed photos -o {out}.parquet",
    "cam photos/000.png -o {out}.png",
    "eval photos --confusion {out}.csv",
    "explain photos/000.png -o {out}.html",
    "trace photos/000.png -o {out}.html",
    "ladder --html {out}.html",
]


@pytest.mark.parametrize("words", WRITERS)
def test_a_file_that_cannot_be_written_is_told_first(run, folder, monkeypatch, no_new_files, words):
    monkeypatch.setattr("npresnet.load", lambda *_, **__: pytest.fail("a model is loaded"))
    (folder / "photos" / "cat").mkdir()
    (folder / "photos" / "000.png").rename(folder / "photos" / "cat" / "000.png")
    (folder / "photos" / "000.png").symlink_to("cat/000.png")
    for out, told in (("nowhere/out", "No such file or directory"), ("photos/001.png/out", "Not a directory")):
        with no_new_files():
            done = run(*words.format(out=out).split())
        assert (done.code, done.out) == (1, "")
        assert f"{out}." in done.err
        assert told in done.err


def test_figures_that_cannot_be_written_are_told_first(run, folder, monkeypatch):
    monkeypatch.setattr("npresnet.bench.run.run", lambda *_, **__: pytest.fail("something is measured"))
    (folder / "out.json").mkdir()
    assert "out.json: Is a directory" in run("bench", "--quick", "--json", "out.json").err
    done = run("bench", "photos/000.png", "--quick", "--json", "photos/000.png")
    assert "photos/000.png is what this command reads" in done.err
