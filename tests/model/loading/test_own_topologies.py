"""Networks with a topology of their own, all the way: built by name, saved, loaded, run, looked into."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

import npresnet
from tests.arch.families import tiny as tiny_nets


@pytest.fixture(scope="module")
def nfnet():
    with npresnet.build("test_nfnet", num_classes=10, seed=2, threads=1) as model:
        yield model


def test_saved_and_loaded_it_is_the_same(nfnet, tmp_path):
    x = np.random.default_rng(1).standard_normal((2, 3, 64, 48), dtype=np.float32)
    nfnet.save(tmp_path / "net.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = npresnet.load(tmp_path / "net.npz", threads=1)
    np.testing.assert_array_equal(loaded(x), nfnet(x))
    assert (loaded.config["arch"].value, loaded.config["arch"].origin) == ("test_nfnet", "file")
    assert loaded.config.value("activation") == "silu"
    assert loaded.config.value("preprocess") == nfnet.config.value("preprocess")
    loaded.close()


def test_it_predicts_embeds_and_maps(nfnet):
    """Preprocessed as timm's network of that name: 160 of 168 pixels, mean and standard deviation 0.5."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8))
    assert nfnet.preprocess(picture).shape == (1, 3, 160, 160)
    assert float(np.abs(nfnet.preprocess(picture)).max()) <= 1
    assert len(nfnet.predict(picture).top) == 5
    assert nfnet.embed(picture).shape == (192,)
    assert nfnet.cam(picture).shape == (160, 160)


def test_its_modules_and_its_table(nfnet):
    x = np.random.default_rng(1).standard_normal((1, 3, 64, 64), dtype=np.float32)
    found = nfnet.features(x, ["stem", "stages.2", "stages.3.0.attn_last", "head.global_pool", "head.fc"])
    shapes = {name: array.shape[1:] for name, array in found.items()}
    assert shapes["stem"] == (128, 16, 16)
    assert shapes["stages.2"] == (96, 4, 4)
    assert shapes["stages.3.0.attn_last"] == (128, 2, 2)
    assert (shapes["head.global_pool"], shapes["head.fc"]) == ((192,), (10,))
    np.testing.assert_allclose(found["head.fc"], nfnet(x), rtol=0, atol=1e-6)
    table = nfnet.summary((3, 64, 64))
    assert "Total params" in table
    assert "BatchNorm2d" not in table  # the factors of branches are constants


def test_an_ambiguous_file_says_so_once_and_the_npz_remembers_the_answer(tmp_path):
    from npresnet import weights
    from npresnet.arch.families import preact

    tensors = tiny_nets.tiny(preact, layers=[1, 1, 1], base=8, stem_channels=8, projection="shortcut.0", num_classes=10)
    weights.write_npz(tmp_path / "net.npz", tensors, {})
    with pytest.warns(npresnet.AmbiguityWarning, match="preactivation='branch'"):
        npresnet.load(tmp_path / "net.npz", threads=1).close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        npresnet.convert(tmp_path / "net.npz", tmp_path / "told.npz", preactivation="branch")
        with npresnet.load(tmp_path / "told.npz", threads=1) as model:
            assert model.config.value("preactivation") == "branch"
            assert model.network["layer2.0.shortcut.0"].inputs == ("layer1.0.add",)
