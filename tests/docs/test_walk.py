"""The reader's walk in CONTRIBUTING.md, followed: the functions exist, are called in that order, room after room."""

from __future__ import annotations

import re
import sys
from itertools import groupby
from pathlib import Path

import pytest

import npresnet
from tests.support.checkout import REPOSITORY
from tests.support.small import picture

PACKAGE = str(Path(npresnet.__file__).resolve().parent)
TEXT = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")


def walk_of(heading: str) -> list[str]:
    """The functions of the numbered list below the line that begins with `heading`."""
    part = TEXT[TEXT.index(f"`{heading}") :]
    steps = re.findall(r"^\d+\. (.*(?:\n   .*)*)", part.partition("\n\n")[2].partition("\n\n")[0], re.MULTILINE)
    return [name for step in steps for name in re.findall(r"`([a-z_]+(?:\.\w+)+)`", step)]


def calls_of(function, *args, **options) -> tuple[list[str], object]:
    """Every function of npresnet that is called, as <module>.<qualified name>, and what `function` returned."""
    calls: list[str] = []

    def note(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE):
            module = code.co_filename[len(PACKAGE) + 1 : -3].replace("/", ".").removesuffix(".__init__")
            owner = frame.f_locals.get("self")
            bases = [kind.__name__ for kind in type(owner).__mro__ if code.co_name in vars(kind)]  # who defines it
            name = f"{bases[0]}.{code.co_name}" if bases else code.co_name
            calls.append(f"{module}.{name}")

    sys.setprofile(note)
    try:
        return calls, function(*args, **options)
    finally:
        sys.setprofile(None)


def assert_in_order(walk: list[str], calls: list[str]) -> None:
    position = 0
    for name in walk:
        assert name in calls, f"{name} is not called"
        assert name in calls[position:], f"{name} is called before what stands above it"
        position += calls[position:].index(name)


@pytest.mark.skipif(sys.platform == "win32", reason="paths with backslashes")
def test_load_and_predict_go_this_way(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    tensors = npresnet.read_state_dict(Path(PACKAGE) / "data" / "cifar10-resnet20.npz")
    torch.save({name: torch.from_numpy(array.copy()) for name, array in tensors.items()}, tmp_path / "x.pth")
    loading, predicting = walk_of("npresnet.load("), walk_of("model.predict(")
    assert len(loading) > 8
    assert len(predicting) > 12
    calls, model = calls_of(npresnet.load, tmp_path / "x.pth", threads=1)
    assert_in_order(loading, calls)
    calls, prediction = calls_of(model.predict, picture())
    assert prediction.label
    assert_in_order(predicting, calls)
    model.close()


@pytest.mark.parametrize("heading", ["npresnet.load(", "model.predict("])
def test_no_room_is_visited_more_than_twice(heading):
    rooms = [room for room, _ in groupby(name.split(".")[0] for name in walk_of(heading))]
    assert max(map(rooms.count, rooms)) <= 2, rooms
