"""The pickle interpreter: it builds the same data as Python's pickle and never executes foreign code."""

from __future__ import annotations

import collections
import pickle
import struct
import sys
import time

import pytest

from npresnet.errors import CheckpointError
from npresnet.weights.budget import STEPS, Budget
from npresnet.weights.inert import Global, Inert
from npresnet.weights.pickle_machine import Machine
from npresnet.weights.torch_globals import handlers
from npresnet.weights.unpickle import ACTIONS, unpickle
from tests.weights.fixtures import pickles as p

VALUES = [
    None, True, False, 0, 1, 255, 256, 65535, 65536, -1, -129, 2**31 - 1, -(2**31), 2**31, 2**63, -(2**90), 2**900,
    0.0, -1.5, 1e300, float("inf"), "", "conv1.weight", "größer 模型 \U0001f600", "a\nb'\"\\", "x" * 300,
    (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1], list(range(2000)),
    {}, {"a": 1, 2: "b", None: (), True: [], 1.5: {}}, {str(n): [n, (n,)] for n in range(1500)},
    {"deep": {"er": [{"still": ({"x": (1, [2, (3,)])},)}]}},
]  # fmt: skip


def load(raw: bytes, **options):
    budget = options.setdefault("budget", Budget(len(raw)))
    return unpickle(Machine(raw, handlers=handlers([], budget), **options))


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_read_as_by_python(subtests, protocol):
    for value in VALUES:
        with subtests.test(value=repr(value)[:24]):
            assert load(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(3, 6))
def test_bytes_round_trip(protocol):
    for value in (b"", b"abc", bytes(range(256)) * 5):
        assert load(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(3))
def test_bytes_of_old_protocols_use_codecs_encode(protocol):
    assert load(pickle.dumps(bytes(range(256)), protocol)) == bytes(range(256))


def test_bytearray_becomes_bytes():
    assert load(pickle.dumps(bytearray(b"abc"), 5)) == b"abc"


@pytest.mark.parametrize("protocol", range(6))
def test_shared_and_self_containing_lists(protocol):
    shared = [1]
    loop: list = [shared, shared]
    loop.append(loop)
    found = load(pickle.dumps(loop, protocol))
    assert found[0] is found[1]
    assert found[2] is found


@pytest.mark.parametrize("protocol", range(6))
def test_ordered_and_default_dicts_become_dicts_in_order(protocol):
    value = collections.OrderedDict([("z", 1), ("a", 2)])
    assert list(load(pickle.dumps(value, protocol)).items()) == [("z", 1), ("a", 2)]
    assert load(pickle.dumps(collections.defaultdict(list, {"a": [1]}), protocol)) == {"a": [1]}


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"S'conv1\\n\\'\\xe9'\n.", "conv1\n'é"),
        (b'S"a"\n.', "a"),
        (b"U\x03ab\xe9.", "abé"),
        (b"T\x03\x00\x00\x00ab\xe9.", "abé"),
        (b"Vg\\u00e9\n.", "gé"),
        (b"(lp0\nI1\naI01\naI00\na.", [1, True, False]),
        (b"(dp0\nS'a'\nL12L\ns.", {"a": 12}),
        (b"F1.5\n.", 1.5),
        (b"(I1\nI2\nt.", (1, 2)),
        (b"(I1\n1N.", None),
        (b"I1\nI2\n0.", 1),
    ],
)
def test_python_2_and_text_opcodes(raw, value):
    found = load(raw)
    assert type(found) is type(value)
    assert found == value


def test_a_list_may_hold_itself():
    found = load(b"]2a.")
    assert len(found) == 1
    assert found[0] is found


def test_python_2_ordered_dict_made_of_pairs():
    made = p.call(p.named("collections", "OrderedDict"), p.listed(p.listed(p.old_text(b"b"), p.number(1))))
    assert load(p.pickled(made)) == {"b": 1}


def test_every_opcode_of_pickletools_is_known():
    import pickletools

    unknown = [op.name for op in pickletools.opcodes if ACTIONS[ord(op.code)] is None]
    assert unknown == ["STOP"]


# --- nothing that a file names is imported or called ------------------------------------------------------------------


class Runs:
    """Pickled as a call."""

    def __init__(self, what, *args):
        self.call = (what, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_calls_stay_inert(tmp_path, protocol):
    import os

    victim = tmp_path / "victim"
    for what, args in (
        (os.system, (f"touch {victim}",)),
        (exec, (f"open({str(victim)!r}, 'w')",)),
        (os.mkdir, (str(victim),)),
    ):
        found = load(pickle.dumps(Runs(what, *args), protocol))
        assert isinstance(found, Inert)
        assert found.args == args
    assert not victim.exists()


@pytest.mark.parametrize("how", ["global", "reduce", "newobj", "newobj_ex", "inst", "obj", "stack_global", "build"])
def test_no_module_is_imported(tmp_path, monkeypatch, how):
    (tmp_path / "npresnet_trap.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    trap = p.named("npresnet_trap", "go")
    raw = {
        "global": trap,
        "reduce": p.call(trap),
        "newobj": trap + p.EMPTY_TUPLE + p.NEWOBJ,
        "newobj_ex": trap + p.EMPTY_TUPLE + p.EMPTY_DICT + b"\x92",
        "inst": p.MARK + b"inpresnet_trap\ngo\n",
        "obj": p.MARK + trap + b"o",
        "stack_global": p.text("npresnet_trap") + p.text("go") + b"\x93",
        "build": p.call(trap) + p.mapping(__setstate__=trap) + p.BUILD,
    }[how]
    found = load(p.pickled(raw, 4))
    assert isinstance(found, (Global, Inert))
    assert "npresnet_trap" not in sys.modules


def test_states_and_items_of_foreign_objects_are_recorded():
    foreign = p.call(p.named("argparse", "Namespace"))
    found = load(
        p.pickled(foreign + p.MARK + p.text("lr") + p.number(1) + p.SETITEMS + p.mapping(a=p.number(2)) + p.BUILD)
    )
    assert repr(found) == "argparse.Namespace"
    assert found.items == {"lr": 1}
    assert found.state == {"a": 2}


def test_an_object_whose_state_is_itself():
    found = load(p.pickled(p.call(p.named("a", "b")) + p.DUP + p.BUILD))
    assert found.state is found


# --- limits on time and memory ----------------------------------------------------------------------------------------

HOSTILE = {
    "an empty stack": b"\x80\x02.",
    "reduce of nothing": b"\x80\x02R.",
    "marks without end": b"\x80\x02" + b"(" * 2_000_000,
    "a missing mark": b"\x80\x02t.",
    "unknown opcode": b"\x80\x02\xff.",
    "protocol 9": b"\x80\x09N.",
    "cut": b"\x80\x02]",
    "extension registry": b"\x80\x02\x82\x01.",
    "out-of-band buffer": b"\x80\x05\x97.",
    "a missing memo entry": b"\x80\x02h\x07.",
    "memo by text": b"g" + b"9" * 5000 + b"\n.",
    "a frame that is too long": b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"N.",
    "huge long": b"\x80\x02\x8b" + struct.pack("<I", 1 << 31) + b"1.",
    "long of a megabyte": b"\x80\x02\x8b" + struct.pack("<I", 1 << 20) + b"\x7f" * (1 << 20) + b".",
    "long text number": b"L" + b"7" * 1_000_000 + b"L\n.",
    "huge unicode": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"abc.",
    "huge bytes": b"\x80\x04\x8e" + struct.pack("<Q", (1 << 64) - 1) + b"abc.",
    "negative string": b"\x80\x02T\xff\xff\xff\xff.",
    "text that is not UTF-8": b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
    "line without end": b"cos",
    "an invalid number": b"Ibanana\n.",
    "text without quotes": b"Sbanana\n.",
    "append to a number": b"\x80\x02K\x01K\x02a.",
    "items of a list": b"\x80\x02]K\x01K\x02s.",
    "odd items": b"\x80\x02}(K\x01u.",
    "global of numbers": b"\x80\x04K\x01K\x02\x93.",
    "obj of nothing": b"\x80\x02(o.",
    "endless opcodes": b"\x80\x02" + b"N)R0" * (STEPS // 4) + b"N.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_invalid_pickles_are_refused_quickly(name):
    start = time.perf_counter()
    with pytest.raises(CheckpointError, match=r"pickle|more work"):
        load(HOSTILE[name])
    assert time.perf_counter() - start < 20


def test_the_budget_is_shared_by_all_pickles_of_a_file():
    budget = Budget(steps=10)
    load(b"(NNNNt.", budget=budget)
    with pytest.raises(CheckpointError, match="more work"):
        load(b"(NNNNt.", budget=budget)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x80\x02N" + b"\x85" * 1_000_000 + b".",  # ((((...,),),),)
        b"\x80\x02" + b"]" * 900_000 + b"a" * 899_999 + b".",  # [[[[...]]]]
        b"\x80\x02" + p.named("a", "b") + b"\x85" * 10 + p.named("a", "b") + b"N\x85R" * 60_000 + b".",
    ],
    ids=["tuples", "lists", "calls"],
)
def test_deep_nesting_neither_recurses_nor_crashes(raw):
    found = load(raw)
    assert type(found) in (tuple, list, Inert)
    del found  # freeing must not recurse either


def test_a_deep_key_is_not_hashed():
    found = load(b"\x80\x02}N" + b"\x85" * 500_000 + b"K\x01s.")
    assert list(found.values()) == [1]


def test_a_memo_bomb_stays_small():
    """Billion laughs: each list holds the previous one ten times. References are harmless until they are walked."""
    raw = b"\x80\x02]q\x00"
    for level in range(200):
        raw += b"](" + b"h" + bytes([level]) + (b"h" + bytes([level])) * 9 + b"e" + b"q" + bytes([level + 1])
    found = load(raw + b".")
    assert len(found) == 10


def test_a_dup_bomb_stays_small():
    assert len(load(b"\x80\x02(" + b"X\x04\x00\x00\x00abcd" + b"2" * 1_000_000 + b"t.")) == 1_000_001


def test_colliding_keys_are_read_quickly():
    """Multiples of 2^61 - 1 all have the hash 0."""
    prime = 2**61 - 1
    items = b"".join(p.number(prime * n) + b"N" for n in range(1, 60_000))
    start = time.perf_counter()
    load(b"\x80\x02}(" + items + b"u.")
    assert time.perf_counter() - start < 10
