"""save and convert: nothing is lost, and files are replaced atomically."""

from __future__ import annotations

import hashlib
import json
import os

import numpy as np
import pytest

import npresnet
from npresnet import weights
from npresnet.model.metadata import RUNTIME
from tests.support.loaded import DILATED, load, values
from tests.support.small import batch, picture


def test_round_trip_keeps_everything(tmp_path):
    """Options, preprocessing and labels survive two conversions; their origin is then the file."""
    names = [f"class {i}" for i in range(6)]
    chosen = {"stride_on": "1x1", "replace_stride_with_dilation": DILATED, "bn_eps": 1e-3}
    first = npresnet.build(
        "resnet14",
        num_classes=6,
        threads=1,
        labels=names,
        preprocess={"resize": 70, "crop": 64, "exif": True},
        **chosen,
    )
    first.save(tmp_path / "saved.npz")
    npresnet.convert(tmp_path / "saved.npz", tmp_path / "again.npz")
    for path in (tmp_path / "saved.npz", tmp_path / "again.npz"):
        with load(path) as model:
            assert values(model) == values(first)
            assert {d.origin for n, d in model.config.items() if n not in RUNTIME} == {"file"}
            prediction, expected = model.predict(picture()), first.predict(picture())
            np.testing.assert_array_equal(prediction.logits, expected.logits)
            assert prediction.label == expected.label


def test_the_caller_overrides_the_file(tmp_path):
    npresnet.build("resnet14", num_classes=6, threads=1, stride_on="1x1").save(tmp_path / "saved.npz")
    with load(tmp_path / "saved.npz", stride_on="3x3", labels=list("abcdef"), preprocess="V2") as model:
        for name, value in {"stride_on": "3x3", "preprocess": "V2", "labels": list("abcdef")}.items():
            assert (model.config[name].value, model.config[name].origin) == (value, "caller")
        assert model.config["bn_eps"].origin == "file"


def test_convert_keeps_names_and_numbers(bare, tensors, tmp_path):
    target = npresnet.convert(bare, tmp_path / "converted.npz")
    assert target == tmp_path / "converted.npz"
    with np.load(target, allow_pickle=False) as found:
        assert sorted(name for name in found if not name.startswith("__")) == sorted(tensors)
        for name, array in tensors.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)


def test_convert_records_its_source(bare, tmp_path):
    sha256 = hashlib.sha256(bare.read_bytes()).hexdigest()
    npresnet.convert(bare, tmp_path / "converted.npz")
    npresnet.convert(tmp_path / "converted.npz", tmp_path / "again.npz")
    load(tmp_path / "again.npz").save(tmp_path / "saved.npz")
    for name in ("converted", "again", "saved"):
        found = weights.read(tmp_path / f"{name}.npz").metadata["source"]
        assert found == {"file": "bare.npz", "sha256": sha256}, name
    with load(tmp_path / "saved.npz") as model:
        assert (model.config["source"].value, model.config["source"].note) == ("bare.npz", f"SHA-256 {sha256}")


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot delete a mapped file")
def test_save_omits_the_hash_of_a_changed_file(bare, tmp_path):
    model = load(bare)
    bare.unlink()
    bare.write_bytes(b"another file now")
    model.save(tmp_path / "saved.npz")
    assert weights.read(tmp_path / "saved.npz").metadata["source"] == {"file": "bare.npz", "sha256": None}


def test_a_file_may_be_converted_onto_itself(bare, monkeypatch):
    with load(bare) as model:
        expected = model(batch(2))
    monkeypatch.chdir(bare.parent)
    npresnet.convert("bare.npz", bare)
    npresnet.convert(bare, bare)
    with load(bare) as model:
        np.testing.assert_array_equal(model(batch(2)), expected)
        assert model.config["bn_eps"].origin == "file"


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot replace a mapped file")
def test_save_onto_the_file_that_was_loaded(bare):
    with load(bare) as model:
        expected = model(batch(2))
        model.save(bare)
        np.testing.assert_array_equal(model(batch(2)), expected)
        np.testing.assert_array_equal(model.features(batch(2), ["linear"])["linear"], expected)
    with load(bare) as model:
        np.testing.assert_array_equal(model(batch(2)), expected)


def test_nothing_is_overwritten_on_failure(bare, tmp_path, monkeypatch):
    target = tmp_path / "target.npz"
    target.write_bytes(b"precious")
    (tmp_path / "broken.pth").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(npresnet.CheckpointError):
        npresnet.convert(tmp_path / "broken.pth", target)
    with pytest.raises(npresnet.ArchitectureError):
        npresnet.convert(bare, target, labels=["one"])

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    for write in (lambda: npresnet.convert(bare, target), lambda: load(bare).save(target)):
        with pytest.raises(npresnet.CheckpointError, match="No space left"):
            write()
    assert target.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare.npz", "broken.pth", "target.npz"]


def test_a_foreign_network_is_refused_with_its_file_s_name(tmp_path):
    path = tmp_path / "foreign.npz"
    weights.write_npz(path, {"w": np.ones(3)}, {})
    for take in (lambda: load(path), lambda: npresnet.convert(path, tmp_path / "new.npz")):
        with pytest.raises(npresnet.ArchitectureError, match=r"foreign\.npz: the tensors are not a ResNet"):
            take()
    assert not (tmp_path / "new.npz").exists()


@pytest.mark.parametrize("name", ["", "a\0.npz"])
def test_invalid_destinations(bare, name):
    for write in (lambda: npresnet.convert(bare, name), lambda: load(bare).save(name)):
        with pytest.raises(npresnet.CheckpointError, match=r"pass a name such as resnet18\.npz"):
            write()


@pytest.mark.parametrize("name", ["weights", "weights.pth", "weights.npz.bak"])
def test_only_npz_is_written(bare, tmp_path, name):
    for write in (lambda: npresnet.convert(bare, tmp_path / name), lambda: load(bare).save(tmp_path / name)):
        with pytest.raises(npresnet.CheckpointError, match=r"does not end in \.npz"):
            write()
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"output_stride": 16}, {"output_stride": 16, "replace_stride_with_dilation": [False, False, True]}),
        ({"replace_stride_with_dilation": DILATED}, {"replace_stride_with_dilation": DILATED, "output_stride": 8}),
        ({"stem_stride": 1}, {"stem_stride": 1, "stem": [[7, 1, 3]]}),
        ({"stem": [[7, 1, 3]]}, {"stem_stride": 1, "stem": [[7, 1, 3]]}),
        ({"head": "none"}, {"num_classes": None, "labels": None}),
    ],
    ids=str,
)
def test_what_follows_from_an_option_of_the_caller_is_no_longer_the_files(tmp_path, given, expected):
    stored = npresnet.build("resnet14", num_classes=2, threads=1, labels=["ant", "bee"])
    stored.save(tmp_path / "saved.npz")
    with load(tmp_path / "saved.npz", **given) as model:
        assert {name: model.config.value(name) for name in expected} == expected
        model.save(tmp_path / "again.npz")
        with load(tmp_path / "again.npz") as again:
            assert {name: again.config.value(name) for name in expected} == expected
            x = batch(1)
            np.testing.assert_array_equal(model.embed(picture()), again.embed(picture()))
            if "head" not in given:
                np.testing.assert_array_equal(model(x), again(x))


@pytest.mark.parametrize("name", ["clip_rn50", "tresnet_m"])
def test_networks_without_their_head(tmp_path, name):
    npresnet.build(name, num_classes=3, threads=1).save(tmp_path / "saved.npz")
    with load(tmp_path / "saved.npz", head="none") as model:
        assert list(model.network.outputs) == ["embedding"]


@pytest.mark.parametrize("draft", [False, True])
def test_draft_is_written_only_where_it_is_set(bare, tmp_path, draft):
    """Versions that know no such option read what is written without it."""
    path = tmp_path / "w.npz"
    given = npresnet.Preprocess(resize=40, crop=32, draft=draft)
    npresnet.load(bare, preprocess=given, shortcut="A").save(path)
    with np.load(path) as archive:
        written = json.loads(str(archive["__npresnet__"]))
    assert ("draft" in written["preprocess"]) is draft
    with load(path) as model:
        assert model.config.value("preprocess") == given.to_dict()
