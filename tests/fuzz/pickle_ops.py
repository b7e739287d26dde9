"""Pickles changed opcode by opcode: opcodes are left out, doubled, swapped, or given other arguments."""

from __future__ import annotations

import pickletools
import random
import struct

from tests.fuzz import mutate
from tests.weights.fixtures import pickles as p

GLOBALS = (
    ("torch._utils", "_rebuild_tensor"), ("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_tensor_v3"),
    ("torch._utils", "_rebuild_parameter"), ("torch._utils", "_rebuild_qtensor"), ("torch", "Size"),
    ("torch._tensor", "_rebuild_from_type_v2"), ("torch.nn.parameter", "Parameter"), ("torch", "FloatStorage"),
    ("torch", "BFloat16Storage"), ("torch.storage", "UntypedStorage"), ("torch.storage", "_load_from_bytes"),
    ("collections", "OrderedDict"), ("collections", "defaultdict"), ("argparse", "Namespace"), ("os", "system"),
    ("numpy.core.multiarray", "_reconstruct"), ("numpy.core.multiarray", "scalar"), ("numpy", "dtype"),
    ("numpy", "ndarray"), ("numpy.core.numeric", "_frombuffer"), ("_codecs", "encode"), ("builtins", "bytes"),
    ("builtins", "tuple"), ("builtins", "set"), ("torch", "float16"), ("copyreg", "_reconstructor"),
)  # fmt: skip
_PLAIN = tuple(bytes([code]) for code in b"N\x88\x89)]}(0122tle.dsaubRQo\x81\x85\x86\x87\x8f\x90\x91\x92\x93\x94")

_VALUES = (
    b"K\x01", b"G" + struct.pack(">d", 0.5), b"C\x04abcd", b"S'a'\n", b"I1\n", b"V\\u1234\n", b"g0\n", b"p9\n",
    b"U\x03abc", b"J\xff\xff\xff\xff", b"B\x08\0\0\0abcdefgh", b"\x96" + bytes(8),
)  # fmt: skip


def opcode(rng: random.Random) -> bytes:
    """A random opcode with a plausible argument."""
    kind = rng.randrange(8)
    if kind < 3:
        return rng.choice(_PLAIN)
    if kind == 3:
        return p.text(mutate.text(rng).replace("\n", " "))
    if kind == 4:
        return p.number(mutate.number(rng))
    if kind == 5:
        return p.named(*rng.choice(GLOBALS))
    if kind == 6:
        return rng.choice((b"h", b"q")) + bytes([rng.randrange(8)])
    return rng.choice(_VALUES)


def pieces(raw: bytes) -> list[bytes]:
    """The opcodes of the pickle at the start of `raw`, each with its argument."""
    starts = [at for _, _, at in pickletools.genops(raw)]
    return [raw[a:b] for a, b in zip(starts, [*starts[1:], starts[-1] + 1], strict=True)]


def changed(parts: list[bytes], rng: random.Random) -> bytes:
    """The pickle with one to three of its opcodes changed."""
    parts = list(parts)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at, kind = rng.randrange(len(parts)), rng.randrange(6)
        if kind == 0 and len(parts) > 1:
            del parts[at]
        elif kind == 1:
            parts[at:at] = parts[at : at + rng.randrange(1, 8)]
        elif kind == 2:
            other = rng.randrange(len(parts))
            parts[at], parts[other] = parts[other], parts[at]
        elif kind == 3:
            parts.insert(at, opcode(rng))
        elif kind == 4:
            parts[at] = _other_argument(parts[at], rng)
        else:
            parts[at] = opcode(rng)
    return b"".join(parts)


def _other_argument(part: bytes, rng: random.Random) -> bytes:
    if part[:1] in b"KMJ\x8a":
        return p.number(mutate.number(rng))
    if part[:1] == b"c":
        return p.named(*rng.choice(GLOBALS))
    if part[:1] in b"XU\x8cV":
        return p.text(mutate.text(rng))
    return mutate.damaged(part, rng)


def repeated(rng: random.Random) -> bytes:
    """A pickle of up to 900 KB that repeats a few opcodes, for what each of them costs."""
    unit = b"".join(opcode(rng)[:300] for _ in range(rng.randrange(1, 6)))
    head = b"\x80\x02" + rng.choice((b"", b"}", b"]", b"N", b"cargparse\nNamespace\nq\x00")) + p.text("w") + b"q\x01"
    return head + unit * (rng.randrange(1000, 900_000) // len(unit)) + rng.choice((b".", b"s.", b"u.", b"e."))
