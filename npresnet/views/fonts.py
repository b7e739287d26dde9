"""Fonts for titles: Pillow's own for ASCII, else one of the system's that has the letters, else words in ASCII.

A font draws letters that it lacks as an empty box, the same for all. So a letter is there if it looks like anything
else than a code point that no font has.
"""

from __future__ import annotations

import os
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from npresnet.system.text import visible

if TYPE_CHECKING:
    from PIL import ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Of Linux, Windows and macOS: the first ones have most alphabets, the others those of Chinese, Japanese and Korean.
SYSTEM_FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "segoeui.ttf", "arial.ttf", "Arial Unicode.ttf", "Arial.ttf",
    "NotoSansCJK-Regular.ttc", "NotoSansCJKjp-Regular.otf", "NotoSansCJKsc-Regular.otf", "SourceHanSans-Regular.ttc",
    "wqy-microhei.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf", "DroidSansFallback.ttf", "ipag.ttf",
    "NanumGothic.ttf", "unifont.otf", "msyh.ttc", "YuGothM.ttc", "meiryo.ttc", "msgothic.ttc", "malgun.ttf",
    "simsun.ttc", "PingFang.ttc", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc", "AppleGothic.ttf",
)  # fmt: skip
FOLDERS = {
    "linux": ("~/.fonts", "~/.local/share/fonts", "/usr/local/share/fonts", "/usr/share/fonts"),
    "darwin": ("~/Library/Fonts", "/Library/Fonts", "/System/Library/Fonts"),
    "win32": (r"~\AppData\Local\Microsoft\Windows\Fonts", r"C:\Windows\Fonts"),
}
MAX_FILES = 600  # of fonts that are looked into
NO_LETTER = "\U0010fffe"

_told: list[str] = []  # what was warned about


def drawable(text: str, size: int) -> tuple[Font, str]:
    """A font of this size in pixels, and the text as it can draw it.

    Without a font that has all letters: accents are dropped, and what is then not ASCII becomes its code, such as
    "\\u732b"; a UserWarning says so, once.
    """
    if text.isascii():
        return built_in_font(size), text
    letters = frozenset(letter for letter in text if not letter.isascii() and not unicodedata.combining(letter))
    path = _font_with(letters)
    font = None if path is None else system_font(path, size)
    return (font, text) if font is not None else (built_in_font(size), in_ascii(text))


def in_ascii(text: str) -> str:
    """Without accents, and other letters by their codes."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    shown = plain.encode("ascii", "backslashreplace").decode("ascii")
    if shown != plain and not _told:
        _told.append(shown)
        warnings.warn(
            f"no installed font has all letters of {visible(text)!r}: pictures show their codes, as in {shown!r}; "
            "install a font that has them, such as Noto Sans CJK",
            stacklevel=2,
        )
    return shown


@lru_cache(maxsize=8)
def built_in_font(size: int) -> Font:
    """Pillow's own, of ASCII."""
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size=size)
    except (TypeError, ImportError, OSError):  # before Pillow 10.1, or without FreeType: 6x11 pixels per letter
        return ImageFont.load_default()


@lru_cache(maxsize=64)
def system_font(name: str, size: int) -> Font | None:
    """An installed font by name or path, or None."""
    from PIL import ImageFont

    try:
        return ImageFont.truetype(name, size)
    except (OSError, ImportError, ValueError):
        return None


@lru_cache(maxsize=256)
def _font_with(letters: frozenset[str]) -> str | None:
    """The first font that has all of these."""
    return next((path for path in _fonts() if all(_has(path, letter) for letter in letters)), None)


@lru_cache(maxsize=2**16)
def _has(path: str, letter: str) -> bool:
    font = system_font(path, 12)
    if font is None or isinstance(_missing(path), OSError):
        return False
    return letter.isspace() or bytes(font.getmask(letter)) != _missing(path)


@lru_cache(maxsize=MAX_FILES)
def _missing(path: str) -> bytes | OSError:
    """What this font draws for a letter that it lacks; an error of a font that draws nothing."""
    font = system_font(path, 12)
    try:
        return b"" if font is None else bytes(font.getmask(NO_LETTER))
    except OSError as error:  # of damaged files, and of bitmaps without this size
        return error


@lru_cache(maxsize=1)
def _fonts() -> tuple[str, ...]:
    known = [name for name in SYSTEM_FONTS if system_font(name, 12) is not None]
    return (*known, *sorted(set(_files()))[:MAX_FILES])


def _files() -> Iterator[str]:
    for folder in FOLDERS.get(sys.platform, FOLDERS["linux"]):
        for place, _, names in os.walk(os.path.expanduser(folder)):
            yield from (os.path.join(place, name) for name in names if name.lower().endswith((".ttf", ".otf", ".ttc")))
