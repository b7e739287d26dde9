"""npresnet.load(..., device="cuda") as a user sees it, on an emulated GPU."""

from __future__ import annotations

import io
import pickle
import tarfile
import threading

import numpy as np
import pytest
from PIL import Image

import npresnet
from npresnet import cli, ops
from npresnet.config import Config
from npresnet.model import batches
from npresnet.model.runtime import decide_dtype
from tests.emulator import emulator
from tests.support.small import batch, picture, write_pictures

pytestmark = emulator.needed


@pytest.fixture
def pair(gpus):
    """The demo model on the GPU and on the CPU."""
    gpus(capability=90, name="NVIDIA Emulated")
    with npresnet.load("demo", device="cuda", threads=1) as on_gpu, npresnet.load("demo", threads=1) as on_cpu:
        yield on_gpu, on_cpu


@pytest.mark.parametrize(("dtype", "count"), [("float32", 10), ("float16", 10)])
def test_the_demo_model_on_cifar_images(gpus, data_dir, dtype, count):
    """The CPU's very predictions."""
    gpus()
    with tarfile.open(data_dir / "cifar10" / "test.tar") as tar:
        members = [member for member in tar if member.name.lower().endswith(".jpg")]  # class by class
        some = members[:: len(members) // count][:count]
        pictures = [
            np.asarray(Image.open(io.BytesIO(tar.extractfile(member).read())).convert("RGB")) for member in some
        ]
    with npresnet.load("demo", device="cuda", dtype=dtype) as on_gpu, npresnet.load("demo") as on_cpu:
        found, wanted = (model.predict(pictures, batch_size=50) for model in (on_gpu, on_cpu))
    assert len(found) == count
    assert [p.index for p in found] == [p.index for p in wanted]
    assert len({p.index for p in found}) > 5


def test_predict_embed_and_cam(pair):
    on_gpu, on_cpu = pair
    photo = picture(1)
    assert on_gpu.predict(photo).label == on_cpu.predict(photo).label
    np.testing.assert_allclose(on_gpu.embed(photo), on_cpu.embed(photo), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(on_gpu.cam(photo), on_cpu.cam(photo), atol=1e-4)
    assert on_gpu.predict([]) == []
    assert on_gpu.embed([]).shape == (0, 64)


def test_what_is_no_batch_is_refused_as_on_the_cpu(pair):
    for wrong in (np.zeros((1, 3, 32, 32), np.uint8), np.zeros((3, 32, 32), np.float32), [[1.0], [1.0, 2.0]]):
        messages = []
        for model in pair:
            with pytest.raises(npresnet.ShapeError) as error:
                model(wrong)
            messages.append(str(error.value))
        assert messages[0] == messages[1]


def test_the_decisions(pair):
    on_gpu, _ = pair
    assert (on_gpu.config["device"].value, on_gpu.config["device"].origin) == ("cuda:0", "caller")
    assert on_gpu.config["device"].note == "NVIDIA Emulated, compute capability 9.0"
    assert on_gpu.config["dtype"].value == "float32"
    assert "cuda:0, float32" in repr(on_gpu)
    assert "closed" not in repr(on_gpu)


@pytest.mark.parametrize("dtype", ["float16", "f2", np.float16, np.dtype("float16"), "tf32", "bfloat16"])
def test_dtypes_by_any_name(gpus, dtype):
    gpus()
    with npresnet.load("demo", device="cuda", dtype=dtype) as model:
        assert model.config["dtype"].value == (dtype if dtype in ("tf32", "bfloat16") else "float16")
        assert model.config["dtype"].origin == "caller"
        assert model.config["dtype"].note


def test_auto_takes_a_gpu_that_works(gpus):
    gpus(name="NVIDIA Emulated")
    with npresnet.load("demo", device="auto", dtype="float16") as model:
        assert (model.config["device"].value, model.config["device"].origin) == ("cuda:0", "inferred")
        assert model.config["device"].note == 'device="auto" chose cuda:0, NVIDIA Emulated'
        assert "chosen by auto" in repr(model)


def test_a_model_goes_to_another_process_and_finds_its_gpu(pair):
    on_gpu, _ = pair
    x = batch(1)
    with pickle.loads(pickle.dumps(on_gpu)) as copy:
        assert copy.config["device"].value == "cuda:0"
        np.testing.assert_array_equal(copy(x), on_gpu(x))


def test_saved_and_loaded_it_is_nobody_s_gpu(pair, tmp_path):
    on_gpu, on_cpu = pair
    on_gpu.save(tmp_path / "model.npz")
    with npresnet.load(tmp_path / "model.npz") as loaded:
        assert loaded.config["device"].value == "cpu"
        np.testing.assert_array_equal(loaded(batch(1)), on_cpu(batch(1)))


def test_a_closed_model(pair):
    on_gpu, _ = pair
    on_gpu.close()
    assert "closed" in repr(on_gpu)
    with pytest.raises(npresnet.DeviceError, match="closed"):
        on_gpu(batch(1))


def test_images_are_read_while_the_gpu_works(pair, tmp_path, monkeypatch):
    """Even with one thread: the caller's own waits for the GPU."""
    on_gpu, _ = pair
    readers, real = set(), batches.read_item
    monkeypatch.setattr(batches, "read_item", lambda *args: (readers.add(threading.get_ident()), real(*args))[1])
    paths = write_pictures(tmp_path, 4)
    results = dict(on_gpu.stream(paths, batch_size=2))
    assert list(results) == paths
    assert threading.get_ident() not in readers


def test_features_share_their_weights_with_the_network(gpus):
    stand_in = gpus()
    model = npresnet.load("demo", device="cuda")
    x = batch(1)
    model(x)
    weights = model._executables._backend._weights
    size = weights.size_bytes()
    exact = ops.run(model.network.with_outputs(["layer2", "flatten"]), x.astype(np.float64))
    for name, array in model.features(x, ["layer2", "flatten"]).items():
        np.testing.assert_allclose(array, exact[name], rtol=1e-4, atol=1e-5)
    assert weights.size_bytes() == size
    del weights
    model.close()
    assert stand_in.gpus[0].used == 0


def test_the_command_line(gpus, tmp_path, capsys):
    gpus(name="NVIDIA Emulated")
    (path,) = write_pictures(tmp_path, 1)
    assert cli.main(["predict", path, "--model", "demo", "--device", "cuda", "--dtype", "float16"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert any("GPU: NVIDIA Emulated (cuda:0), float16" in line for line in lines[-3:])
    assert cli.main(["predict", path, "--model", "demo", "--device", "auto", "--json"]) == 0
    assert 'device="auto" chose cuda:0, NVIDIA Emulated' in capsys.readouterr().err


def test_the_dtype_is_checked_by_the_decision_alone():
    assert decide_dtype("float32").value == "float32"
    with pytest.raises(npresnet.ArchitectureError, match="float32 only"):
        decide_dtype("bfloat16")
    assert isinstance(npresnet.load("demo", threads=1).config, Config)
