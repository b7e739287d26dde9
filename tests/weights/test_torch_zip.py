"""PyTorch's zip format: files of today's torch.save, bit for bit, memory-mapped; and invalid files."""

from __future__ import annotations

import io
import time
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from npresnet import weights
from tests.weights.fixtures import files
from tests.weights.fixtures import pickles as p

FLOATS = np.arange(12, dtype="<f4")
DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool, torch.uint16, torch.uint32, torch.uint64,
]  # fmt: skip


def saved(value, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def bits(array) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def as_numpy(tensor: torch.Tensor) -> np.ndarray:
    return (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).detach().numpy()


def same(checkpoint: weights.Checkpoint, state: dict[str, torch.Tensor]) -> None:
    assert list(checkpoint.tensors) == list(state)
    for name, tensor in state.items():
        expected = as_numpy(tensor)
        found = checkpoint.tensors[name]
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype), name
        assert bits(found) == bits(expected), name
        assert not found.flags.writeable


def example_state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    state = {f"of {str(d)[6:]}": (torch.randn(2, 3, 4, generator=generator) * 90).abs().to(d) for d in DTYPES}
    base = torch.randn(4, 6, 3, 3, generator=generator)
    return state | {
        "transposed": base.transpose(0, 1),
        "sliced": base[1:3, ::2],
        "last": base.to(memory_format=torch.channels_last),
        "scalar": torch.tensor(7),
        "one": torch.tensor([7.0]),
        "empty": torch.zeros(0, 5),
        "expanded": torch.ones(1).expand(64),
        "shared 1": base,
        "shared 2": base[2],
        "parameter": torch.nn.Parameter(base.clone()),
        "nan": torch.tensor([float("nan"), float("-inf"), -0.0, 1e-42]),
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_dtype_view_and_protocol(folder, protocol):
    checkpoint = folder.read(saved(example_state(), pickle_protocol=protocol))
    assert checkpoint.container == "torch zip"
    same(checkpoint, example_state())


def test_bfloat16_is_widened_exactly_and_noted(folder):
    every = torch.arange(65536, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16)
    checkpoint = folder.read(saved({"w": every}))
    assert bits(checkpoint.tensors["w"]) == bits(every.float().numpy())
    assert checkpoint.notes == ["1 bfloat16 tensors were widened to float32"]


def test_a_module_state_dict_with_metadata(folder):
    net = torch.nn.Sequential(OrderedDict(conv1=torch.nn.Conv2d(3, 4, 3), bn1=torch.nn.BatchNorm2d(4)))
    same(folder.read(saved(net.state_dict())), net.state_dict())


def test_tensor_attributes_and_subclasses(folder):
    plain = torch.arange(4.0)
    plain.note = "an attribute makes torch write _rebuild_from_type_v2"
    parameter = torch.nn.Parameter(torch.arange(3.0))
    parameter.note = 1
    same(folder.read(saved({"w": plain, "p": parameter})), {"w": torch.arange(4.0), "p": torch.arange(3.0)})


@pytest.mark.parametrize("name", ["resnet18-5c106cde.pth", "größe.pt", "a.b.c.th", "no_extension", "wrong.npz"])
def test_the_folder_is_named_after_the_file(tmp_path, name):
    path = tmp_path / name
    torch.save({"w": torch.ones(3)}, path)
    assert weights.read_state_dict(path)["w"].tolist() == [1, 1, 1]


def test_weights_are_mapped_not_read(tmp_path):
    path = tmp_path / "large.pth"
    torch.save({f"layer{n}.weight": torch.zeros(1 << 20) for n in range(25)}, path)
    best_s = min(_seconds(weights.read, path) for _ in range(3))
    tensors = weights.read_state_dict(path)
    addresses = [tensor.__array_interface__["data"][0] for tensor in tensors.values()]
    assert all(address % 64 == 0 for address in addresses)
    assert max(addresses) - min(addresses) < 101 << 20, "all in one mapping, in file order"
    assert best_s < 0.25, "100 MB were opened without being read"


def _seconds(function, *args) -> float:
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_re_zipped_archives(folder, method):
    with zipfile.ZipFile(io.BytesIO(saved(example_state()))) as archive:
        members = {f"my folder/{info.filename}": archive.read(info) for info in archive.infolist()}
    same(folder.read(files.zipped(members, method=method)), example_state())


def test_big_endian(folder):
    raw = {"0": FLOATS.astype(">f4").tobytes(), "1": np.arange(3, dtype=">i8").tobytes(), "2": b"\x3f\x80\xc0\x00"}
    pickle = p.pickled(
        p.mapping(
            w=p.tensor(p.storage("0", 12), (3, 4), (4, 1)),
            n=p.tensor(p.storage("1", 3, "LongStorage"), (3,), (1,)),
            b=p.tensor(p.storage("2", 2, "BFloat16Storage"), (2,), (1,)),
        )
    )
    checkpoint = folder.read(files.torch_zip(pickle, raw, byteorder=b"big"))
    assert np.array_equal(checkpoint.tensors["w"], FLOATS.reshape(3, 4))
    assert checkpoint.tensors["n"].tolist() == [0, 1, 2]
    assert checkpoint.tensors["b"].tolist() == [1.0, -2.0]
    assert all(tensor.dtype.isnative for tensor in checkpoint.tensors.values())
    folder.refuses(files.torch_zip(pickle, raw, byteorder=b"mixed"), "byteorder")


@pytest.mark.parametrize("function", ["_rebuild_tensor", "_rebuild_tensor_v2"])
def test_older_rebuild_functions_and_cuda_storages(folder, function):
    stored = p.storage("0", 12, "FloatStorage").replace(b"ctorch\n", b"ctorch.cuda\n")
    pickle = p.pickled(p.mapping(w=p.tensor(stored, (2, 2), (1, 3), 5, function)))
    found = folder.read(files.torch_zip(pickle, {"0": FLOATS.tobytes()})).tensors["w"]
    assert found.tolist() == [[5, 8], [6, 9]]


# --- refused ---------------------------------------------------------------------------------------------------------


def one_tensor(shape, stride, offset=0, numel=12, kind="FloatStorage", raw=None, **more) -> bytes:
    pickle = p.pickled(p.mapping(w=p.tensor(p.storage("0", numel, kind), shape, stride, offset)))
    return files.torch_zip(pickle, {"0": FLOATS.tobytes() if raw is None else raw}, **more)


@pytest.mark.parametrize(
    ("shape", "stride", "offset", "match"),
    [
        ((13,), (1,), 0, "outside its storage"),
        ((12,), (1,), 1, "outside its storage"),
        ((3, 4), (5, 1), 0, "outside its storage"),
        ((1,), (1,), 12, "outside its storage"),
        ((0,), (1,), 13, "outside its storage"),
        ((1,), (1,), 1 << 62, "invalid"),
        ((12,), (-1,), 11, "invalid"),
        ((-12,), (1,), 0, "invalid"),
        ((4,), (1,), -1, "invalid"),
        ((1 << 40,), (0,), 0, "repeats stored elements too often"),
        ((1 << 20, 1 << 20, 2), (0, 0, 1), 0, "repeats stored elements too often"),
        ((1 << 47, 1 << 47, 1 << 47, 0), (1, 1, 1, 1), 0, "repeats stored elements too often|invalid"),
        ((2,) * 33, (0,) * 33, 0, r"not \(a few\) integers"),
        ((3, 4), (1,), 0, "sizes"),
    ],
)
def test_invalid_views(folder, shape, stride, offset, match):
    folder.refuses(one_tensor(shape, stride, offset), match)


def test_an_invalid_view_is_refused_anywhere_in_the_file(folder):
    bad = p.tensor(p.storage("0", 12), (13,), (1,))
    good = p.tensor(p.storage("0", 12), (12,), (1,))
    pickle = p.pickled(p.mapping(state_dict=p.mapping(w=good), optimizer=p.listed(p.sequence(bad))))
    folder.refuses(files.torch_zip(pickle, {"0": FLOATS.tobytes()}), "outside its storage")


def test_many_expansions_are_refused(folder):
    """Each tensor repeats one number to 64 MiB: allowed once or twice, not a thousand times."""
    stored = p.storage("0", 1)
    views = {f"w{n}": p.tensor(stored, (1 << 24,), (0,)) for n in range(1000)}
    folder.refuses(files.torch_zip(p.pickled(p.mapping(**views)), {"0": bytes(4)}), "expand 4 stored bytes")


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (one_tensor((12,), (1,), raw=bytes(47)), "47 bytes"),
        (one_tensor((12,), (1,), numel=1 << 50), "need"),
        (one_tensor((12,), (1,), numel=-1), "persistent id"),
        (one_tensor((12,), (1,), kind="BananaStorage"), "class torch.BananaStorage"),
        (
            files.torch_zip(p.pickled(p.mapping(w=p.tensor(p.storage("7", 12), (12,), (1,)))), {"0": b""}),
            "data/7 is missing",
        ),
        (files.torch_zip(p.pickled(p.mapping(w=p.tensor(p.NONE, (1,), (1,)))), {}), "no storage"),
        (files.torch_zip(p.pickled(p.mapping(w=p.sequence() + p.PERSISTENT)), {}), "persistent id"),
        (files.torch_zip(b"\x80\x02garbage", {}), "pickle"),
        (files.torch_zip(p.pickled(p.NONE), {}), "no state dict"),
        (files.torch_zip(p.pickled(p.EMPTY_DICT), {}), "no tensors"),
        (files.zipped({"a/data.pkl": b"", "b/data.pkl": b""}), r"one data\.pkl .*got 2"),
    ],
)
def test_inconsistent_records_and_pickles(folder, raw, match):
    folder.refuses(raw, match)


def test_inconsistent_descriptions_of_a_storage(folder):
    views = p.mapping(
        a=p.tensor(p.storage("0", 12), (1,), (1,)), b=p.tensor(p.storage("0", 12, "LongStorage"), (1,), (1,))
    )
    folder.refuses(files.torch_zip(p.pickled(views), {"0": bytes(96)}), "described inconsistently")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8), "quantised"),
        (lambda: torch.ones(3, dtype=torch.complex64).conj().imag, "pending negation"),
        (lambda: torch.eye(3).to_sparse(), "sparse"),
        (lambda: torch.eye(3).to_sparse_csr(), "sparse"),
        (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "nested"),
        (lambda: torch.ones(3, device="meta"), "meta"),
        (lambda: torch.ones(3, dtype=torch.complex64), "complex64"),
        (lambda: torch.ones(3).to(torch.float8_e4m3fn), "float8_e4m3fn"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tensors_without_a_numpy_dtype(folder, make, match):
    message = folder.refuses(saved({"conv1.weight": make()}), match)
    assert "conv1.weight" in message
    assert ".float()" in message
    beside = folder.read(saved({"state_dict": {"w": torch.ones(1)}, "extra": make()}))
    assert list(beside.tensors) == ["w"], "unsupported tensors outside the state dict do not matter"


def test_torchscript(folder):
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), buffer)
    assert "state_dict()" in folder.refuses(buffer.getvalue(), "TorchScript")


@pytest.mark.parametrize("wrap", [lambda net: net, lambda net: {"model": net, "epoch": 3}])
def test_pickled_modules(folder, wrap):
    message = folder.refuses(saved(wrap(torch.nn.Linear(2, 2))), "torch.nn.modules.linear.Linear")
    assert "model.state_dict()" in message


def test_foreign_objects_in_a_training_checkpoint_stay_inert(folder):
    import argparse

    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    value = {
        "epoch": 90, "arch": "resnet18", "state_dict": net.state_dict(), "best_acc1": torch.tensor(69.7),
        "optimizer": optimizer.state_dict(), "args": argparse.Namespace(lr=0.1), "scores": np.float64(1.5),
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 30).state_dict(), "kinds": {1, 2},
    }  # fmt: skip
    checkpoint = folder.read(saved(value))
    assert checkpoint.wrapper == "state_dict"
    same(checkpoint, net.state_dict())
