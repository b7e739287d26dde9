"""How large a weight file may make images: by the kind of its network. A caller may ask for any size.

A small file's preprocessing could turn every picture into 8,192 x 8,192 pixels, minutes and gigabytes. The sides below
are beyond those of all published networks of the kind: 480 and 800 of images, 112 to 256 of clips.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npresnet.errors import ArchitectureError
from npresnet.images import Preprocess

# kind of network -> pixels a side, of resize and crop
MAX_SIDES = {"images": 1024, "clips": 320}


def kind_of(takes_clips: bool) -> str:
    """A key of MAX_SIDES."""
    return "clips" if takes_clips else "images"


def check_told(how: Preprocess, kind: str, where: str, given: str | Mapping[str, Any] | Preprocess | None) -> None:
    """Raise ArchitectureError where a file's preprocessing asks for more than MAX_SIDES of that kind.

    where  in the file it stands, for the message
    given  the caller's, which replaces it, or a dict of fields that change it
    """
    if given is not None and not (isinstance(given, Mapping) and "preset" not in given):
        return
    limit = MAX_SIDES[kind]
    asked = {name: getattr(how, name) for name in ("resize", "crop") if name not in (given or {})}
    beyond = {name: size for name, size in asked.items() if size is not None and max(_sides(size)) > limit}
    if not beyond:
        return
    words = " and ".join(f"{name} {size}" for name, size in beyond.items())
    allowed = ", ".join(f"{name!r}: {list(size) if isinstance(size, tuple) else size}" for name, size in beyond.items())
    json = allowed.replace("'", '"')
    raise ArchitectureError(
        f"the preprocessing of {where} asks for {words}; a file may ask for at most {limit} pixels a side for a "
        f"network for {kind}. If you trust it, allow more by asking yourself: preprocess={{{allowed}}} "
        f"(--preprocess '{{{json}}}'); or give the sizes that you want"
    )


def _sides(size: int | tuple[int, int]) -> tuple[int, ...]:
    return size if isinstance(size, tuple) else (size,)
