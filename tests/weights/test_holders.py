"""find_holders: every dict with tensors, each visited once, in bounded depth and linear time."""

from __future__ import annotations

import time

import pytest

from npresnet.errors import CheckpointError
from npresnet.weights import inspect
from npresnet.weights.holders import MATRICES, MAX_DEPTH, NETWORK, STRAY, VECTORS, dotted, find_holders, rank_of
from npresnet.weights.state_dict import find_state_dict
from tests.weights.fixtures import pickles as p
from tests.weights.fixtures.objects import network, optimizer, tensor

MANY = 20_000


def paths(root: dict) -> list[str]:
    return [dotted(holder.path) for holder in find_holders(root)]


@pytest.mark.parametrize(
    ("shapes", "rank"),
    [
        ([(2, 3, 3, 3), (2, 2, 1, 1), (5, 2)], NETWORK),
        ([(2, 3, 3), (2, 2, 1)], NETWORK),
        ([(2, 3, 3, 3), (7,)], MATRICES),  # one picture is no network
        ([(5, 2), (5,)], MATRICES),
        ([(5,), ()], VECTORS),
        ([(), ()], STRAY),
        ([], None),
    ],
)
def test_ranks(shapes, rank):
    assert rank_of({"epoch": 1, **{str(place): tensor(shape) for place, shape in enumerate(shapes)}}) == rank


def test_outer_dicts_come_first():
    root = {"a": {"deep": {"er": {"w": tensor((1,))}}}, "b": {"v": tensor((2,))}, "u": tensor(())}
    assert paths(root) == ["", "b", "a.deep.er"]


@pytest.mark.parametrize(
    "key",
    ["optimizer", "optimizers", "optimizer_G", "opt", "optim_state", "lr_scheduler", "lr_schedulers", "scaler",
     "amp_scaler", "fp16_scaler", "amp", "rng", "rng_state", "loops", "Optimiser"],
)  # fmt: skip
def test_training_state_is_not_searched(key):
    assert paths({key: {"deeper": network()}}) == []


def test_an_optimizer_of_any_name_is_not_searched():
    assert paths({"adam": optimizer(network()), "model": network()}) == ["model"]


def test_names_that_only_look_alike_are_searched():
    assert paths({"optimal_model": network(), "photo_net": network(), "lamp": network()}) == [
        "optimal_model", "photo_net", "lamp"
    ]  # fmt: skip


def test_depth_is_bounded():
    def at_depth(depth: int) -> dict:
        root: dict = network()
        for _ in range(depth):
            root = {"model": root}
        return root

    assert find_state_dict(at_depth(MAX_DEPTH)).wrapper == ".".join(["model"] * MAX_DEPTH)
    with pytest.raises(CheckpointError, match="no tensors by name"):
        find_state_dict(at_depth(MAX_DEPTH + 1))
    with pytest.raises(CheckpointError, match="no tensors by name"):
        find_state_dict(at_depth(50_000))


def test_circles_end():
    root: dict = {"epoch": 1}
    inner: dict = {"up": root, "model": network(seed=3)}
    inner["self"], root["inner"], inner["model"]["outer"] = inner, inner, root
    assert paths(root) == ["inner.model"]
    assert find_state_dict(root).wrapper == "inner.model"
    assert find_state_dict(root, "inner.self.up.inner.model").wrapper == "inner.self.up.inner.model"


def test_a_lattice_is_walked_once():
    """Every dict refers twice to the next: 2^14 paths, 15 dicts."""
    root: dict = network()
    for _ in range(14):
        root = {"a": root, "b": root}
    start = time.perf_counter()
    assert len(find_holders(root)) == 1
    assert time.perf_counter() - start < 1


def test_many_entries_that_share_one_object_in_a_file(folder):
    """Through a pickle: a dict of many dicts, each of which refers to one large dict, below one long key."""
    large = p.pairs(*((p.number(n), p.NONE) for n in range(MANY))) + b"q\x00"
    key = p.raw_bytes(b"k" * 1_000_000) + b"q\x01"
    inner = p.pairs((b"h\x01", b"h\x00"))
    outer = p.pairs(*((p.number(n), inner) for n in range(MANY)))
    raw = p.pickled(large + p.POP + key + p.POP + outer)
    start = time.perf_counter()
    folder.refuses(raw, "no tensors by name")
    inspect(folder.path / "weights.pth")
    assert time.perf_counter() - start < 10


def test_many_state_dicts_below_long_keys():
    """The message lists a few; no text is made of the others' paths."""
    key = "k" * 1_000_000
    root = {place: {key: {"w": tensor((1,))}} for place in range(300)}
    start = time.perf_counter()
    with pytest.raises(CheckpointError, match="288 more") as caught:
        find_state_dict(root)
    with pytest.raises(CheckpointError):
        find_state_dict(root, "nothing")
    assert len(str(caught.value)) < 6000
    assert time.perf_counter() - start < 5
