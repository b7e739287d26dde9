"""PyTorch's tar format, no longer written by torch: the files here are built by hand after torch's reader."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from tests.weights.fixtures import files
from tests.weights.fixtures import pickles as p

FLOATS = np.arange(12, dtype="f4")


def example(order: str = "<", *, storages=None, tensors=None, views=((7, 1, 4, 4),), pickle=None, **options) -> bytes:
    """conv (3, 4), its transpose, a view of a part of the storage, and three integers."""
    stored = [
        (1, "FloatStorage", 12, FLOATS.astype(f"{order}f4").tobytes()),
        (2, "LongStorage", 3, np.arange(3, dtype=f"{order}i8").tobytes()),
    ]
    described = [(10, 1, (3, 4), (4, 1), 0), (11, 1, (4, 3), (1, 4), 0), (12, 7, (3,), (1,), 1), (13, 2, (3,), (1,), 0)]
    object_ = p.mapping(
        **{"conv1.weight": files.tar_parameter(10), "t": files.tar_tensor(11), "part": files.tar_tensor(12)},
        counts=files.tar_tensor(13),
    )
    return files.torch_tar(
        p.pickled(object_) if pickle is None else pickle, storages or stored, tensors or described,
        views=views, order=order, **options,
    )  # fmt: skip


@pytest.mark.parametrize("order", ["<", ">"])
def test_parameters_views_and_byte_orders(folder, order):
    checkpoint = folder.read(example(order))
    assert checkpoint.container == "torch tar"
    expected = {
        "conv1.weight": FLOATS.reshape(3, 4),
        "t": FLOATS.reshape(3, 4).T,
        "part": FLOATS[5:8],
        "counts": [0, 1, 2],
    }
    assert list(checkpoint.tensors) == list(expected)
    for name, array in expected.items():
        assert np.array_equal(checkpoint.tensors[name], array), name
        assert checkpoint.tensors[name].dtype.isnative
    assert ("the file is big-endian" in checkpoint.notes) == (order == ">")


@pytest.mark.parametrize("kind", ["five", "three", "argument"])
def test_parameters_in_all_their_forms(folder, kind):
    pickle = p.pickled(p.mapping(w=files.tar_parameter(10, kind)))
    assert np.array_equal(folder.read(example(pickle=pickle)).tensors["w"], FLOATS.reshape(3, 4))


def test_torch_reads_the_same_from_these_files(folder):
    """torch reads the same tensors from the hand-made files."""
    raw = example()
    expected = torch.load(folder.write(raw), weights_only=False)
    found = folder.read(raw).tensors
    assert {name: tensor.detach().numpy().tolist() for name, tensor in expected.items()} == {
        name: array.tolist() for name, array in found.items()
    }


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"tensors": [(10, 1, (13,), (1,), 0)]}, "outside its storage"),
        ({"tensors": [(10, 1, (3,), (-1,), 3)]}, "invalid"),
        ({"tensors": [(10, 99, (3,), (1,), 0)]}, "missing tensor or storage 99"),
        ({"tensors": [(10, 1, (3,), (1,), 0)] * 2}, "defined twice"),
        ({"tensors": [(1, 1, (3,), (1,), 0)]}, "defined twice"),
        ({"storages": [(1, "FloatStorage", 1 << 50, b"")]}, "longer than the file"),
        ({"storages": [(1, "FloatStorage", -1, b"")]}, "longer than the file"),
        ({"storages": [(1, "EvilStorage", 0, b"")]}, "EvilStorage"),
        ({"views": [(7, 1, 4, 9)]}, "outside storage 1"),
        ({"views": [(7, 8, 0, 1)]}, "missing tensor or storage 8"),
        ({"pickle": p.pickled(p.mapping(w=files.tar_tensor(55)))}, "missing tensor or storage 55"),
        ({"pickle": p.pickled(p.mapping(w=p.mapping() + p.PERSISTENT))}, "neither an integer nor a string"),
        ({"pickle": p.pickled(p.call(p.named("os", "system"), p.text("true")))}, "os.system"),
    ],
)
def test_inconsistent_contents(folder, changes, match):
    folder.refuses(example(**changes), match)


def test_nothing_is_extracted(folder, monkeypatch):
    """Members with names outside the folder, and links, are ignored."""
    evil = {"../evil": b"evil", "/tmp/npresnet_evil": b"evil", **members_of(example())}
    before = sorted(folder.path.rglob("*"))
    assert folder.read(files.tarred(evil)).tensors["t"].shape == (4, 3)
    assert sorted(folder.path.rglob("*")) == [*before, folder.path / "weights.pth"]
    assert not (folder.path.parent / "evil").exists()


def test_links_are_not_followed(folder, tmp_path):
    good = members_of(example())
    del good["storages"]
    folder.refuses(files.tarred(good, links={"storages": "pickle"}), "without storages")
    folder.refuses(files.tarred(good, links={"storages": "storages"}), "without storages")


def test_duplicate_members(folder):
    raw = files.tarred({"a": b"1"})[:1024] + files.tarred({"a": b"2"})
    folder.refuses(raw, "two files called a")


def test_other_tar_archives(folder):
    folder.refuses(files.tarred({"resnet18.pth": b"weights"}), "Unpack it")


def test_truncation_and_wrong_sizes(folder):
    raw = example()
    used = len(raw.rstrip(b"\0"))
    for size_bytes in [*range(300, used, 97), used - 1]:
        folder.refuses(raw[:size_bytes])
    header = bytearray(raw)
    header[124:136] = b"77777777777\0"
    folder.refuses(bytes(header), "truncated or damaged")
    header[124:136] = b"\x80" + b"\xff" * 11
    folder.refuses(bytes(header), "truncated or damaged")
    header[124:136] = b"not a size!!"
    folder.refuses(bytes(header), "not a number")


def test_too_many_members(folder):
    one = files.tarred({"x": b""})[:512]
    folder.refuses(one * 5000, "members")


def members_of(raw: bytes) -> dict[str, bytes]:
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}
