"""Images that lie on a GPU already, and the streams of those who have put them there."""

from __future__ import annotations

import numpy as np
import pytest

import npresnet
from npresnet.errors import DeviceError, ShapeError
from tests.cuda.running import compiled, expected, images, small_network
from tests.emulator import emulator

pytestmark = emulator.needed


def test_cupy_in_gives_cupy_out(gpus):
    stand_in = gpus()
    run = compiled(small_network())
    x = stand_in.asarray(images(2))
    found = run(run.as_array(x))["logits"]
    assert isinstance(found, stand_in.cupy.ndarray)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.get(), expected(images(2)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_cupy_arrays_of_any_strides_and_floats(gpus, dtype):
    stand_in = gpus()
    run, x = compiled(small_network()), images(3).astype(dtype)
    views = {
        "as it is": stand_in.asarray(x),
        "channels last": stand_in.asarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        "backwards": stand_in.asarray(x[::-1, :, ::-1].copy())[::-1, :, ::-1],
    }
    for name, view in views.items():
        np.testing.assert_array_equal(run(view)["logits"].get(), expected(x), err_msg=name)


def test_what_speaks_dlpack(gpus):
    """Such as PyTorch's tensors: on the GPU they stay there, on the CPU they are NumPy's affair."""
    stand_in = gpus()

    class Tensor:
        def __dlpack_device__(self):
            return 2, 0

        def __dlpack__(self, stream=None):
            return stand_in.asarray(images(2))

    model = npresnet.build("cifar_resnet20", device="cuda")
    as_array = model._executables.get(None).as_array
    assert isinstance(as_array(Tensor()), stand_in.cupy.ndarray)
    assert type(as_array(images(1))) is np.ndarray
    assert type(as_array([[1.0]])) is np.ndarray


def test_what_dlpack_refuses_to_give(gpus):
    """PyTorch does so with tensors that have a gradient."""
    gpus()

    class Tensor:
        def __dlpack_device__(self):
            return 2, 0

        def __dlpack__(self, stream=None):
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")

    with pytest.raises(ShapeError, match=r"cannot be converted to one: .*use tensor\.detach\(\)"):
        npresnet.build("cifar_resnet20", device="cuda")(Tensor())


def test_work_of_the_caller_is_waited_for(gpus):
    """What the caller has put on CuPy's current stream comes before the images are read."""
    stand_in = gpus()
    run, x = compiled(small_network()), stand_in.asarray(images(1))
    x._view[...] = 0
    stand_in.current_stream().put(lambda: np.copyto(x._view, images(1, seed=5)))
    np.testing.assert_array_equal(run(x)["logits"].get(), expected(images(1, seed=5)))


def test_memory_that_work_of_the_caller_may_still_use_is_not_taken(gpus, monkeypatch):
    """CuPy's pool hands out what was let go on the same stream, as the work put there before would be done by then."""
    stand_in = gpus()
    alloc, taken = stand_in.cupy.cuda.alloc, []
    monkeypatch.setattr(
        stand_in.cupy.cuda, "alloc", lambda size: (taken.append(stand_in.current_stream()), alloc(size))[1]
    )
    with stand_in.cupy.cuda.Stream(non_blocking=True) as of_the_caller:
        compiled(small_network())(images(2))
    assert len(taken) > 3  # weights, counters, the arena
    assert not {of_the_caller.ptr, 0} & {stream.ptr for stream in taken}
    assert not any(stream.waiting for stream in taken)


def test_the_caller_s_current_stream_stays_so(gpus):
    stand_in = gpus()
    run = compiled(small_network())
    of_the_caller = stand_in.cupy.cuda.Stream(non_blocking=True).use()
    for x in (images(2), stand_in.asarray(images(2).transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2)):
        run(x)
        assert stand_in.current_stream() is of_the_caller
    stand_in.gpus[0].memory_bytes = stand_in.gpus[0].used
    with pytest.raises(DeviceError, match="of memory"):
        run(images(200))
    assert stand_in.current_stream() is of_the_caller


def test_an_array_on_another_gpu_is_refused(gpus):
    stand_in = gpus(count=2)
    with npresnet.build("cifar_resnet20", device="cuda:1") as model:
        assert model.config["device"].value == "cuda:1"
        with pytest.raises(ShapeError, match=r"this model is on cuda:1, the images on cuda:0"):
            model(stand_in.asarray(np.zeros((1, 3, 32, 32), np.float32)))


# --- what is kept ----------------------------------------------------------------------------------------------------
