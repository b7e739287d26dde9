"""Clips of frames, and resizing without antialias, against PyTorch and torchvision."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from npresnet import images
from npresnet.errors import ArchitectureError
from npresnet.images.bilinear import bilinear
from npresnet.images.clips import frames_of, is_frame, preprocess_clip
from tests.support.clips import frames, write_frames
from tests.support.torchvision_import import import_torchvision

SIZES = [(240, 320), (128, 171), (100, 77), (64, 64), (33, 57), (333, 251), (7, 5), (1, 1)]


@pytest.fixture
def two_threads():
    """PyTorch's kernel depends on the number of its threads."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield torch
    torch.set_num_threads(before)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_bilinear_is_pytorchs_bit_for_bit(size, two_threads):
    torch = two_threads
    pixels = frames(1, *size)[0]
    for height, width in ((128, 171), (31, 200), (1, 3)):
        tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        right = torch.nn.functional.interpolate(tensor, (height, width), mode="bilinear", align_corners=False)
        right = right.round().to(torch.uint8)[0].permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(bilinear(pixels, height, width), right)
        np.testing.assert_array_equal(bilinear(pixels[:, :, 0], height, width), right[:, :, 0])


def test_pytorchs_other_kernel_is_a_grey_level_away(two_threads):
    two_threads.set_num_threads(1)
    pixels = frames(1, 64, 64)[0]
    tensor = two_threads.from_numpy(pixels).permute(2, 0, 1)[None].float()
    right = two_threads.nn.functional.interpolate(tensor, (128, 171), mode="bilinear", align_corners=False)
    away = np.abs(bilinear(pixels, 128, 171) - right.round()[0].permute(1, 2, 0).numpy())
    assert away.max() <= 1
    assert away.mean() < 1e-3


@pytest.mark.parametrize("size", SIZES[:4], ids=str)
def test_the_preset_is_torchvisions_for_video(size, two_threads):
    torch = two_threads
    import_torchvision()
    from torchvision.models.video import R3D_18_Weights

    clip = frames(3, *size)
    right = R3D_18_Weights.KINETICS400_V1.transforms()(torch.from_numpy(clip).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_array_equal(preprocess_clip(clip, "kinetics")[0], right)


def test_channels_in_the_order_blue_green_red():
    how = images.preset("detect-and-track")
    frame = frames(1, 300, 256)[0]
    x = images.preprocess(frame, how)[0]
    right = (
        frame[:, :, ::-1].transpose(2, 0, 1).astype(np.float64)
        - np.array([102.9801, 115.9465, 122.7717])[:, None, None]
    )
    np.testing.assert_allclose(x, right, atol=1e-4)
    assert images.Preprocess.from_dict(how.to_dict()) == how
    assert "channels BGR" in str(how)
    np.testing.assert_array_equal(images.cropped(frame, how), frame)  # a picture remains one


def test_antialias_is_of_bilinear_resizing_alone():
    with pytest.raises(ArchitectureError, match="antialias=False needs interpolation='bilinear'"):
        images.Preprocess(interpolation="bicubic", antialias=False)
    smooth, sharp = (images.pixels(frames(1)[0], {"resize": 24, "crop": 24, "antialias": on}) for on in (True, False))
    assert not np.array_equal(smooth, sharp)


def test_frames_are_in_the_order_of_their_names(tmp_path):
    folder = write_frames(tmp_path / "clip", frames(11))
    (tmp_path / "clip" / "notes.txt").write_text("no frame")
    assert [path[-7:] for path in frames_of(folder)] == [f"{number:03}.png" for number in range(11)]
    assert len(frames_of(f"{folder}/00?.png")) == 10
    clip = frames(3)
    for found in (frames_of(clip), frames_of(list(clip)), frames_of(tuple(clip))):
        np.testing.assert_array_equal(found, clip)


def test_grey_clips():
    clip = frames(3)[..., 0]
    how = {"resize": 16, "crop": 16, "mean": [0.5], "std": [0.25]}
    assert preprocess_clip(list(clip), how).shape == (1, 1, 3, 16, 16)


def test_what_is_a_frame(tmp_path):
    (tmp_path / "folder").mkdir()
    for source in ("a.png", b"", Image.new("RGB", (2, 2)), frames()[0]):
        assert is_frame(source)
    for source in (tmp_path / "folder", frames(), [frames()[0]], (frames()[0],)):
        assert not is_frame(source)
