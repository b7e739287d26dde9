"""Real networks of which no tensor tells the shortcuts: settled by the file's own name, else said."""

from __future__ import annotations

import shutil
import warnings

import pytest

import npresnet

NAME = "resnet20-12fca82f.th"


@pytest.mark.parametrize(("name", "warns"), [(NAME, False), ("mine.th", True), ("resnet20-00000000.th", True)])
def test_its_name_tells_what_the_file_is(tmp_path, data_dir, name, warns):
    shutil.copy(data_dir / "checkpoints" / NAME, tmp_path / name)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with npresnet.load(tmp_path / name, threads=1) as model:
            assert model.config.value("shortcut") == "A"
    said = [str(one.message) for one in heard if one.category is npresnet.AmbiguityWarning]
    assert len(said) == int(warns)
    assert all("shortcut='A-end'" in text for text in said)
