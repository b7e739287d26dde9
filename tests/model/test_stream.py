"""stream: folders and patterns, reading at most one batch ahead, continuing after an invalid image."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

import npresnet
from tests.support.small import picture, write_pictures


def test_stream_continues_after_an_invalid_image(model, tmp_path):
    paths = write_pictures(tmp_path, 4)
    (tmp_path / "002.png").write_text("no image")
    found = dict(model.stream(paths, batch_size=3, top=2))
    assert list(found) == paths
    assert isinstance(found[paths[2]], npresnet.ImageError)
    assert [len(found[path].top) for path in paths if path != paths[2]] == [2, 2, 2]
    np.testing.assert_array_equal(found[paths[3]].logits, model.predict(paths[3]).logits)


def test_stream_of_a_folder(model, tmp_path):
    paths = write_pictures(tmp_path, 3)
    (tmp_path / "notes.txt").write_text("no image")
    assert [path for path, _ in model.stream(tmp_path)] == paths
    assert [path for path, _ in model.stream([tmp_path, paths[1]])] == [*paths, paths[1]]
    assert [path for path, _ in model.stream(str(tmp_path / "*.png"))] == paths
    assert [path for path, _ in model.stream(paths[0])] == paths[:1]


def test_stream_of_missing_and_empty_paths(model, tmp_path):
    paths = write_pictures(tmp_path / "pictures", 2)
    (tmp_path / "empty").mkdir()
    for nothing in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(npresnet.ImageError, match=nothing.name):
            model.stream(nothing)
        found = list(model.stream([paths[0], nothing, paths[1]]))
        assert [path for path, _ in found] == [paths[0], nothing, paths[1]]
        assert isinstance(found[1][1], npresnet.ImageError)


def test_stream_is_lazy(model):
    drawn = []

    def endless():
        while True:
            drawn.append(None)
            yield picture(len(drawn) % 3)

    stream = model.stream(endless(), batch_size=4)
    assert drawn == []
    next(stream)
    assert len(drawn) == 8  # one batch to run, one ahead
    stream.close()


def test_stream_checks_its_arguments_immediately(model):
    with pytest.raises(ValueError, match="top"):
        model.stream([], top=0)


@pytest.mark.parametrize("threads", [1, 2])
def test_while_a_batch_runs_the_next_alone_is_held_beside_it(tmp_path, monkeypatch, threads):
    """Images are freed once they are stacked: one stack, and at most one batch read ahead."""
    images, held = [], []
    preprocess, call = npresnet.images.preprocess, npresnet.Model.__call__

    def counted(*args, **options):
        x = preprocess(*args, **options)
        images.append(weakref.ref(x))
        return x

    def counting(model, x):
        held.append(sum(image() is not None for image in images))
        return call(model, x)

    monkeypatch.setattr(npresnet.images, "preprocess", counted)
    monkeypatch.setattr(npresnet.Model, "__call__", counting)
    with npresnet.load("demo", threads=threads) as model:
        assert len(list(model.stream(write_pictures(tmp_path, 20), batch_size=4))) == 20
    assert len(held) == 5
    assert max(held) <= 4
