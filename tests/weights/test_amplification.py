"""Small files that refer to one large object many times are refused or read quickly, in little memory."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from npresnet import weights
from npresnet.errors import CheckpointError
from tests.support.checkout import REPOSITORY
from tests.weights.fixtures import files
from tests.weights.fixtures import pickles as p

TIMES = 40_000
PUT, GET = b"q\x00", b"h\x00"  # store in and load from memo entry 0


def repeated(large: bytes, use: bytes) -> bytes:
    """A pickle of [large, [use, use, ...]], where `use` may GET the large thing."""
    return p.pickled(p.sequence(large + PUT, p.listed(*[use] * TIMES)))


def of_many(count: int) -> bytes:
    return p.listed(*[p.NONE] * count)


COPIES = {
    "text to bytes": repeated(p.text("x" * 1_000_000), p.call(p.named("_codecs", "encode"), GET, p.text("latin1"))),
    "list to dict": repeated(
        p.listed(*[p.sequence(p.number(n), p.NONE) for n in range(50_000)]),
        p.call(p.named("collections", "OrderedDict"), GET),
    ),
    "list to size": repeated(of_many(500_000), p.call(p.named("torch", "Size"), GET)),
    "bytes to arrays": repeated(
        p.raw_bytes(bytes(1_000_000)),
        p.call(
            p.named("numpy.core.numeric", "_frombuffer"), GET, p.call(p.named("numpy", "dtype"), p.text("?")),
            p.numbers(1_000_000), p.text("C"),
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COPIES)
def test_one_large_thing_used_again_and_again(folder, name):
    start = time.perf_counter()
    folder.refuses(COPIES[name])
    assert time.perf_counter() - start < 20


def test_one_huge_shape_of_many_tensors(folder):
    views = p.listed(
        *[p.call(p.named("torch._utils", "_rebuild_tensor"), p.storage("0", 1), p.number(0), GET, GET)] * TIMES
    )
    raw = files.torch_zip(p.pickled(p.sequence(of_many(500_000) + PUT, views)), {"0": bytes(4)})
    folder.refuses(raw, r"\(a few\) integers")


def test_one_large_dict_under_many_names(folder):
    inner = p.pairs(*((p.number(n), p.NONE) for n in range(50_000)))
    outer = p.pairs(*((p.number(n), GET) for n in range(TIMES)))
    raw = p.pickled(inner + PUT + p.POP + outer)
    start = time.perf_counter()
    folder.refuses(raw, "no tensors by name")
    weights.inspect(folder.path / "weights.pth")
    assert time.perf_counter() - start < 20


def test_thousands_of_parts_of_one_storage(folder):
    """Each part is as large as the whole; separate copies would take 40 GB."""
    count, numel = 4_000, 2_500_000
    parts = {
        f"w{n}": p.tensor(
            p.storage("0", numel, "FloatStorage", p.sequence(p.text(f"p{n}"), p.number(0), p.number(numel))),
            (numel,),
            (1,),
        )
        for n in range(count)
    }
    raw = files.torch_legacy(p.pickled(p.mapping(**parts)), {"0": (numel, bytes(4 * numel))})
    folder.refuses(raw, r"expand [\d,]+ stored bytes")
    few = files.torch_legacy(p.pickled(p.mapping(**dict(list(parts.items())[:10]))), {"0": (numel, bytes(4 * numel))})
    arrays = list(folder.read(few).tensors.values())
    assert all(np.shares_memory(arrays[0], array) for array in arrays)


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux reports it")
def test_hostile_files_stay_small_in_memory(folder):
    """Each file is read in a process limited to 1 GB of address space beyond NumPy's."""
    paths = [folder.write(raw, f"{n}.pth") for n, raw in enumerate(COPIES.values())]
    paths.append(folder.write(b"\x80\x02" + b"}" * 2_500_000 + b".", "dicts.pth"))
    paths.append(folder.write(b"\x80\x02" + b"(]" * 900 + b"]" * 2_500_000 + b".", "lists.pth"))
    code = (
        "import resource, sys, numpy\nfrom npresnet import weights\nfrom npresnet.errors import CheckpointError\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30),) * 2)\n"
        "for path in sys.argv[1:]:\n"
        "    try: weights.read(path)\n"
        "    except CheckpointError as error:\n"
        "        assert not isinstance(error.__cause__, MemoryError), path\n"
        "    else: raise SystemExit(f'{path} was read')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr


def test_a_legitimate_expansion(folder):
    """torch.ones(1).expand(512, 512, 3, 3): 9 MB out of 4 bytes."""
    raw = files.torch_zip(
        p.pickled(p.mapping(w=p.tensor(p.storage("0", 1), (512, 512, 3, 3), (0, 0, 0, 0)))), {"0": bytes(4)}
    )
    assert folder.read(raw).tensors["w"].shape == (512, 512, 3, 3)
    too_much = p.tensor(p.storage("0", 1), (512, 512, 3, 3, 8), (0,) * 5)
    with pytest.raises(CheckpointError, match="repeats stored elements too often"):
        folder.read(files.torch_zip(p.pickled(p.mapping(w=too_much)), {"0": bytes(4)}))
