"""Addresses of pyarrow's file systems, as people write them: opened, and shown without the password in them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from npresnet.ray.cluster import arrow

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # a drive of Windows, C:\, is none


def opened(address: str) -> tuple[Any, str]:
    """The file system of an address and the path in it. Raises ValueError or OSError, in words without a password.

    A space, a letter outside ASCII and a % that begins no escape need not be escaped; a ? that is part of a name is
    written %3F, because options follow a ?.
    """
    place, mark, options = address.partition("?")
    place = quote(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", place), safe="/:@!$&'()*+,;=~%")
    try:
        found: tuple[Any, str] = arrow().fs.FileSystem.from_uri(place + mark + options)
    except (ValueError, OSError) as error:
        raise type(error)(without_password(" ".join(str(error).split()))) from None
    return found


def without_password(text: str) -> str:
    """s3://key:secret@bucket/photos as s3://***@bucket/photos, wherever it stands in a text."""
    return re.sub(rf"({ADDRESS.pattern})[^/@\s]*@", r"\1***@", text)
