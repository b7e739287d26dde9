"""A network on an emulated GPU: what it takes and gives, what it keeps, its memory, its threads."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from npresnet import cuda
from npresnet.cuda import executable as executables
from npresnet.cuda.launchers.split_k import TICKETS_BYTES
from npresnet.cuda.runtime import programs
from npresnet.errors import DeviceError, ShapeError
from npresnet.network import Network
from tests.cuda.running import compiled, expected, images, small_network
from tests.emulator import emulator

pytestmark = emulator.needed


# --- what it takes and gives -----------------------------------------------------------------------------------------


def test_the_second_call_replays_a_graph(gpus):
    stand_in = gpus()
    run = compiled(small_network())
    np.testing.assert_array_equal(run(images(2))["logits"], expected(images(2)))
    first = len(stand_in.kernels)
    stand_in.kernels.clear()
    np.testing.assert_array_equal(run(images(2, seed=1))["logits"], expected(images(2, seed=1)))
    launched = sum(len(step.tiles) for step in run.steps((3, 8, 8), 2))
    assert len(stand_in.kernels) == launched < first


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ">f4"])
def test_other_floats_are_cast(gpus, dtype):
    gpus()
    np.testing.assert_array_equal(compiled(small_network())(images(2).astype(dtype))["logits"], expected(images(2)))


def strided(x):
    """The same images in other places, for NumPy and for CuPy."""
    return {
        "channels last": x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2),
        "backwards": x[::-1, ::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1, ::-1],
        "every second column": np.repeat(x, 2, axis=3)[..., ::2],
        "one image for all": np.broadcast_to(x[:1], x.shape),
    }


def test_any_strides_will_do(gpus):
    gpus()
    run = compiled(small_network())
    for name, view in strided(images(3)).items():
        before = view.copy()
        np.testing.assert_array_equal(run(view)["logits"], expected(view), err_msg=name)
        np.testing.assert_array_equal(view, before)


def test_no_image_gives_no_logits(gpus):
    gpus()
    assert compiled(small_network())(images(0))["logits"].shape == (0, 5)


def test_images_of_another_size_are_refused_and_others_go_on(gpus):
    gpus()
    run = compiled(small_network())
    with pytest.raises(ShapeError, match="fc: expects 32 features"):
        run(np.zeros((1, 3, 16, 16), np.float32))
    with pytest.raises(ShapeError, match=r"images \(N, C, H, W\)"):
        run(np.zeros((3, 8, 8), np.float32))
    np.testing.assert_array_equal(run(images(1))["logits"], expected(images(1)))


def test_nan_stays_in_its_image(gpus):
    gpus()
    x = images(3)
    x[1, 0, 3, 3] = np.nan
    found = compiled(small_network())(x)["logits"]
    assert np.isnan(found[1]).any()
    np.testing.assert_array_equal(found[[0, 2]], expected(x)[[0, 2]])


def test_results_belong_to_the_caller(gpus):
    gpus()
    run = compiled(Network(small_network().nodes, {"a": "fc", "b": "fc"}))
    first = run(images(1))
    kept = first["a"].copy()
    first["b"][:] = 7
    run(images(1, seed=1))
    np.testing.assert_array_equal(first["a"], kept)


# --- arrays on the GPU -----------------------------------------------------------------------------------------------


def test_large_batches_go_in_chunks(gpus, monkeypatch):
    stand_in = gpus()
    monkeypatch.setattr(executables, "MOST_IMAGES", 3)
    run = compiled(small_network())
    np.testing.assert_array_equal(run(images(8))["logits"], expected(images(8)))
    np.testing.assert_array_equal(run(stand_in.asarray(images(7)))["logits"].get(), expected(images(7)))


def test_the_last_few_batch_sizes_are_kept(gpus, monkeypatch):
    gpus()
    monkeypatch.setattr(programs, "KEPT", 2)
    run = compiled(small_network())
    run(images(4))
    ready = {count: run._programs.get((3, 8, 8), count) for count in (3, 4, 2)}
    assert run._programs.get((3, 8, 8), 2) is ready[2]
    assert run._programs.get((3, 8, 8), 4) is ready[4]
    assert run._programs.get((3, 8, 8), 3) is not ready[3]
    for count in (1, 2, 3, 4, 5, 2):
        np.testing.assert_array_equal(run(images(count))["logits"], expected(images(count)))


def test_all_batch_sizes_share_one_arena(gpus):
    stand_in = gpus()
    run = compiled(small_network())
    run(images(6))
    used = stand_in.gpus[0].used
    for count in (1, 2, 3):
        np.testing.assert_array_equal(run(images(count))["logits"], expected(images(count)))
    assert stand_in.gpus[0].used == used
    run(images(9))
    assert stand_in.gpus[0].used > used
    np.testing.assert_array_equal(run(images(6))["logits"], expected(images(6)))  # its graph held the old addresses


def test_a_larger_arena_needs_no_room_for_the_smaller_one(gpus):
    stand_in = gpus()
    alone = compiled(small_network())
    alone(images(9))
    gpus(memory_bytes=stand_in.gpus[0].used)
    run = compiled(small_network())
    run(images(2))
    np.testing.assert_array_equal(run(images(9))["logits"], expected(images(9)))


def test_the_arena_is_nan_before_any_kernel_reads_it(gpus, monkeypatch):
    """A GPU's new memory holds what it held; kernels run once before the graph has written their inputs."""
    stand_in, filled = gpus(), []
    usual = cuda.Gpu.fill

    def fill(gpu, address, byte, size_bytes, stream):
        filled.append((len(stand_in.kernels), byte, size_bytes))
        usual(gpu, address, byte, size_bytes, stream)

    monkeypatch.setattr(cuda.Gpu, "fill", fill)
    run = compiled(small_network())
    run(images(2))
    run(images(1))
    (kernels, byte, size_bytes), counters = filled
    assert (kernels, byte) == (0, 0xFF)
    assert counters == (0, 0, TICKETS_BYTES), "those of split convolutions begin at zero"
    assert size_bytes >= run.layout((3, 8, 8), 2).arena_bytes


def test_weights_are_uploaded_once(gpus):
    gpus()
    gpu = cuda.open_gpu("cuda")
    weights = cuda.Weights(gpu)
    whole = cuda.compile(small_network(), gpu, cuda.ELEMENTS["float32"], weights)
    whole(images(1))
    size = weights.size_bytes()
    whole(images(4))
    part = cuda.compile(small_network().with_outputs(["pool"]), gpu, cuda.ELEMENTS["float32"], weights)
    part(images(2))
    assert weights.size_bytes() == size > 0


def test_closing_frees_the_memory(gpus):
    stand_in = gpus()
    run = compiled(small_network())
    run(images(4))
    assert stand_in.gpus[0].used > 0
    run.close()
    with pytest.raises(DeviceError, match="closed"):
        run(images(1))
    with pytest.raises(DeviceError, match="closed"):
        run.keeping_all()
    gc.collect()
    assert stand_in.gpus[0].used == 0


# --- too little memory, several threads ------------------------------------------------------------------------------


def test_too_large_a_batch_leaves_the_model_usable(gpus):
    stand_in = gpus(memory_bytes=120_000)
    run = compiled(small_network())
    np.testing.assert_array_equal(run(images(2))["logits"], expected(images(2)))
    with pytest.raises(DeviceError, match=r"a batch of 200 images of \(3, 8, 8\) \(C, H, W\) takes 0\.\d MB") as error:
        run(images(200))
    assert "MB are free" in str(error.value)
    assert "fewer images at a time" in str(error.value)
    np.testing.assert_array_equal(run(images(3))["logits"], expected(images(3)))
    assert stand_in.gpus[0].most_used <= 120_000


@pytest.mark.parametrize(("owner", "name"), [(executables.Executable, "_new_outputs"), (cuda.Gpu, "host_memory")])
def test_too_little_memory_on_the_host(gpus, monkeypatch, owner, name):
    """For the results; for the images on their way."""
    gpus()
    run = compiled(small_network())

    def no_memory(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, no_memory)
        with pytest.raises(DeviceError, match=r"the computer \(not the GPU\) has no memory left .* fewer images"):
            run(images(2))
    np.testing.assert_array_equal(run(images(2))["logits"], expected(images(2)))


def test_weights_that_do_not_fit(gpus):
    gpus(memory_bytes=2_000)
    with pytest.raises(DeviceError, match="MB are free"):
        compiled(small_network())(images(1))


def test_threads_and_models_at_once(gpus):
    gpus(count=2)
    runs = [compiled(small_network()), compiled(small_network()), compiled(small_network(), device="cuda:1")]
    errors: list[BaseException] = []

    def work(run: cuda.Executable, number: int) -> None:
        try:
            for turn in range(3):
                x = images(1 + (number + turn) % 3, seed=number)
                np.testing.assert_array_equal(run(x)["logits"], expected(x))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(runs[i % 3], i)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_failed_call_does_no_harm(gpus, monkeypatch):
    """Stopped between putting work on the stream and its end: nothing may write to memory that has gone."""
    gpus()
    run = compiled(small_network())
    run(images(2))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(run.gpu), "download", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(images(2))
    np.testing.assert_array_equal(run(images(2, seed=3))["logits"], expected(images(2, seed=3)))
