from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import npresnet
from benchmarks.kit import folder, photos
from benchmarks.kit.cold import ColdResult, Program, Run

NAMES = [f"{i:04}.jpg" for i in range(200)]
OURS = {name: (i % 7, 2.0 + i) for i, name in enumerate(NAMES)}


def printed(title: str, answers: dict, status: str = "ok") -> ColdResult:
    return ColdResult(Program(title, title, []), status, "", [Run(json.dumps(answers), 2000.0, None, 3000.0)])


def changed(count: int, by: float = 0.0) -> dict:
    """Our answers with other labels for the first `count`, and with one logit that differs."""
    found = {name: (index + (i < count), logit) for i, (name, (index, logit)) in enumerate(OURS.items())}
    return {**found, NAMES[5]: (found[NAMES[5]][0], found[NAMES[5]][1] + by)}


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (OURS, ""),
        (changed(2), ""),
        (changed(3), "3 labels differ"),
        (changed(0, by=0.19), ""),
        (changed(0, by=0.21), "a logit by 1.0e-03 of the largest"),
        (changed(0, by=float("nan")), "a logit by nan"),
        ({name: OURS[name] for name in NAMES[1:]}, "it answered for 199 photos, npresnet for 200"),
    ],
)
def test_who_gives_other_labels_has_no_time(answers, reason):
    results = [printed("npresnet", OURS), printed("torch", answers), printed("npresnet, draft=True", answers)]
    folder.judge(results)
    assert [result.status for result in results] == ["ok", "wrong" if reason else "ok", "ok"]
    assert reason in results[1].reason


def test_the_table_and_what_is_said_below_it():
    results = {"npresnet": printed("npresnet", OURS), "torch": printed("torch", changed(1, by=0.01))}
    programs = {name: {**found.to_dict(), **folder.differences(OURS, changed(0))} for name, found in results.items()}
    programs["torch"] |= {"median_ms": 5000.0, **folder.differences(OURS, changed(1))}
    programs["ort"] = {"title": "ONNX Runtime", "status": "wrong", "reason": "because"}
    programs["other"] = {"title": "other", "status": "absent", "reason": "needs other"}
    about = {
        "photos": 200,
        "megapixels": [1.0, 12.0],
        "pixels": 1.3e9,
        "bytes": 4e8,
        "model": "resnet18",
        "distinct": 7,
    }
    entry = {**about, "programs": programs}
    assert folder.table(entry).rows == [
        ["npresnet", "2.0 (2.0-2.0)", "100.0", "3.0", "1.00", "0"],
        ["torch", "5.0 (2.0-2.0)", "40.0", "3.0", "2.50", "1"],
        ["ONNX Runtime", "wrong result", "", "", "", ""],
    ]
    first, *rest = folder.notes(entry)
    assert "200 JPEG photos of 1 to 12 megapixels, 6.5 on average, 400 MB together" in first
    assert rest == ["ONNX Runtime: wrong result (because)", "other: not installed (needs other)"]


def test_photos_are_as_large_as_was_asked_for_and_always_the_same(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        photos.write_phone_photos(tmp_path / name, 6, megapixels=(0.2, 0.4), seed=3)
    found = sorted((tmp_path / "a").iterdir())
    assert [path.name for path in found] == NAMES[:6]
    for path in found:
        with Image.open(path) as image:
            assert 0.18e6 < image.width * image.height < 0.42e6
            assert (image.width % 8, image.height % 8) == (0, 0)
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert len({path.read_bytes() for path in found}) == 6
    assert photos.total_pixels(tmp_path / "a")[1] == sum(path.stat().st_size for path in found)


def test_the_weights_do_not_see_one_class_everywhere(tmp_path):
    photos.write_phone_photos(tmp_path, 6, megapixels=(0.1, 0.15))
    with npresnet.load(folder.write_model("resnet18", tmp_path, tmp_path)) as model:
        found = model.predict(sorted(tmp_path.glob("*.jpg")))
    assert len({prediction.index for prediction in found}) >= 3
    assert abs(np.mean([prediction.logits for prediction in found])) < 0.01
