"""Standard input, given as `-`: paths, one a line, or the bytes of one image."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from io import BytesIO
from typing import IO

from npresnet.cli.shared import complain
from npresnet.errors import ImageError

EXPECTED = "- expects paths, one a line, or the bytes of one image"
LONGEST_LINE = 2**15  # bytes; the longest path of any system
LARGEST_IMAGE = 2**30  # bytes
SIGN_BYTES = 32  # that tell a picture

# Of pictures whose first bytes are no text.
_BINARY = re.compile(
    rb"\xff\xd8\xff|\x89PNG|II[*+]\0|MM\0[*+]|\0\0\0.(?:ftyp|jP  |JXL )|\xff\x4f\xff\x51|\xff\x0a|\0\0[\1\2]\0",
    re.DOTALL,
)
# Of those that begin like a path; how each goes on tells it from one.
_LIKE_A_PATH = re.compile(rb"GIF8|RIFF|BM|qoif|8BPS|DDS |P[1-7fF]\s")
_PICTURE = re.compile(
    rb"GIF8[79]a.{4}|RIFF.{4}WEBP|BM.{4}\0\0\0\0|qoif.{8}[\3\4]|8BPS\0|DDS \x7c\0\0\0"
    rb"|P[1-6]\s+[#\d]|P7\s+WIDTH|P[fF]\s+\d",
    re.DOTALL,
)
_FOREIGN = (b"<", b"%pdf", b"pk\3\4", b"\x93numpy", b"version https://git-lfs")


def read_stdin() -> bytes | Iterator[str]:
    """The bytes of the picture on standard input, or its paths as they come.

    Raises ImageError, also while the paths come, where it is neither.
    """
    if sys.stdin.isatty():
        complain(f"{EXPECTED}; type paths, and end with Ctrl-D (Windows: Ctrl-Z)")
    raw: IO[bytes] = getattr(sys.stdin, "buffer", None) or BytesIO(sys.stdin.read().encode("utf-8", "surrogateescape"))
    start = raw.readline(LONGEST_LINE + 1)
    if not start:
        raise ImageError(f"standard input is empty; {EXPECTED}")
    is_path = os.path.exists(_text(start))
    if (
        not is_path and len(start) < SIGN_BYTES and _LIKE_A_PATH.match(start)
    ):  # a line may end inside a picture's header
        start += raw.read(SIGN_BYTES - len(start))
    if not is_path and _is_picture(start):
        return _whole(start, raw)
    if not is_path:
        _refuse_foreign(start)
    return _paths(start.removeprefix(b"\xef\xbb\xbf"), raw)


def _is_picture(start: bytes) -> bool:
    if _BINARY.match(start):
        return True
    if not _PICTURE.match(start):
        return False
    return start[:1] == b"P" or _is_binary(start[:SIGN_BYTES])


def _is_binary(start: bytes) -> bool:
    return any(byte < 32 and byte not in b"\t\r\n" for byte in start)


def _whole(start: bytes, raw: IO[bytes]) -> bytes:
    data = start + raw.read(LARGEST_IMAGE)
    if len(data) > LARGEST_IMAGE:
        raise ImageError(f"standard input is an image of more than {LARGEST_IMAGE:,} bytes; pass the path of a file")
    return data


def _refuse_foreign(start: bytes) -> None:
    if start.lstrip().lower().startswith(_FOREIGN):
        from npresnet.images.messages import foreign

        raise ImageError(f"standard input is {foreign(start) or 'markup'}; {EXPECTED}")
    from npresnet.images.encoded import encoding_of

    if kind := encoding_of(start):
        first = " (base64 -d)" if kind == "base64 text" else ""
        raise ImageError(f"standard input is {kind}; decode it first{first}; {EXPECTED}")
    if b"\0" not in start and _is_binary(start):
        raise ImageError(f"standard input begins with {start[:12]!r}, which is no text and no known image; {EXPECTED}")


def _paths(start: bytes, raw: IO[bytes]) -> Iterator[str]:
    *lines, last = start.split(b"\n")
    for line in lines:
        yield from _path(line)
    line = last + raw.readline(LONGEST_LINE + 1) if len(last) <= LONGEST_LINE else last
    while line:
        yield from _path(line)
        line = raw.readline(LONGEST_LINE + 1)


def _path(line: bytes) -> list[str]:
    if b"\0" in line:
        raise ImageError(
            f"standard input holds NUL characters, but {EXPECTED}: text that is neither UTF-16 nor separated by NUL"
        )
    if len(line) > LONGEST_LINE:
        raise ImageError(f"standard input has a line of more than {LONGEST_LINE:,} characters, but {EXPECTED}")
    text = _text(line)
    return [text] if text.strip() else []


def _text(line: bytes) -> str:
    encoding = getattr(sys.stdin, "encoding", None) or "utf-8"
    return line.strip(b"\r\n").decode(encoding, "surrogateescape")
