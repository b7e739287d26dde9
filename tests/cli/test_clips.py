"""`npresnet predict`, `embed`, `summary` and `inspect` with networks for clips."""

from __future__ import annotations

import json
import os

import pytest

import npresnet
from npresnet.cli import main
from tests.support.clips import frames, tiny_file, write_frames


@pytest.fixture
def clips(tmp_path):
    """(weight file, two folders of frames)"""
    folders = [write_frames(tmp_path / name, frames(seed=seed)) for seed, name in enumerate(("one", "two"))]
    return tiny_file(tmp_path), folders


def test_a_folder_is_one_clip(clips, capsys):
    path, folders = clips
    assert main(["predict", *folders, "--model", path, "--json", "--threads", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["path"] for entry in found] == folders
    model = npresnet.load(path, threads=1)
    assert [entry["score"] for entry in found] == pytest.approx([model.predict(folder).score for folder in folders])


def test_patterns_and_lines_of_stdin_are_clips(clips, capsys, monkeypatch):
    import io

    path, (first, second) = clips
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{second}\n"))
    assert main(["predict", f"{first}/00[0-2].png", "-", "--model", path, "--csv", "--threads", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["path", f"{first}/00[0-2].png", second]


def test_lines_of_stdin_are_clips_where_the_output_is_there_already(clips, tmp_path, monkeypatch):
    """The list is then read before the model is known, to see that the output is none of its files."""
    import io

    path, (first, second) = clips
    (tmp_path / "out.json").write_text("old")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{second}\nmissing\n{first}\n"))
    assert main(["predict", "-", "--model", path, "-o", str(tmp_path / "out.json"), "--threads", "1"]) == 1
    found = json.loads((tmp_path / "out.json").read_text())
    assert [(entry["path"], "error" in entry) for entry in found] == [
        (second, False),
        ("missing", True),
        (first, False),
    ]


def test_what_is_no_clip_is_reported(clips, tmp_path, capsys):
    path, (first, _) = clips
    assert main(["predict", f"{first}/000.png", first, "missing", "--model", path, "--threads", "1"]) == 1
    out, err = capsys.readouterr()
    assert "is one image, but this network takes clips" in err
    assert "missing" in err
    assert len(out.splitlines()) == 1
    assert err.splitlines()[-1].startswith("npresnet: 1 clip in")


def test_a_grid_shows_the_frame_in_the_middle(clips, tmp_path, capsys):
    path, folders = clips
    grid = tmp_path / "grid.png"
    assert main(["predict", *folders, "--model", path, "--grid", str(grid), "--threads", "1"]) == 0
    assert grid.stat().st_size > 0
    assert "2 clips in" in capsys.readouterr().err


def test_recursive_means_the_folders_of_frames_below(clips, capsys, monkeypatch):
    path, folders = clips
    above = os.path.dirname(folders[0])
    assert main(["predict", above, "missing", "--recursive", "--model", path, "--csv", "--threads", "1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [*sorted(folders), "missing"]


def test_recursive_leaves_files_and_patterns_of_files_as_they_are(clips, capsys, monkeypatch):
    path, (first, second) = clips
    monkeypatch.chdir(first)
    words = ["00[0-2].png", "000.png", "missing", os.path.join(os.path.dirname(second), "t*")]
    assert main(["predict", *words, "--recursive", "--model", path, "--json", "--threads", "1"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [entry["path"] for entry in found] == ["00[0-2].png", "000.png", "missing", second]
    model = npresnet.load(path, threads=1)
    assert found[0]["score"] == pytest.approx(model.predict("00[0-2].png").score)
    assert "is one image" in found[1]["error"]


def test_embed_and_summary(clips, capsys):
    path, folders = clips
    assert main(["embed", *folders, "--model", path, "--threads", "1"]) == 0
    assert [len(entry["embedding"]) for entry in json.loads(capsys.readouterr().out)] == [16, 16]
    assert main(["summary", path]) == 0
    assert "Conv3d-1" in capsys.readouterr().out
