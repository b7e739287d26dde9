"""Pictures written as text: base64, a data URL, hexadecimal digits, bytes as Python prints them.

The beginning is decoded and has to be that of a picture, so that a path is never taken for one.
"""

from __future__ import annotations

import re

START = 96  # characters that tell
ADVICE = {
    "base64 text": "pass the bytes of base64.b64decode(text)",
    "base64 text for URLs": "pass the bytes of base64.urlsafe_b64decode(text)",
    "a data URL": "pass the bytes of base64.b64decode(text.partition(',')[2])",
    "hexadecimal text": "pass the bytes of bytes.fromhex(text)",
    "text of bytes as Python prints them": "pass the bytes themselves, data rather than str(data)",
}
_DATA_URL = re.compile(rb"data:(?:image/|[\w.+-]+/[\w.+-]+;|;?base64,)", re.IGNORECASE)
_PICTURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8[79]a|RIFF.{4}WEBP|II[*+]\0|MM\0[*+]|BM.{4}\0{4}|\0{3}.ftyp|\0\0\x01\0|P[1-6]\s\d",
    re.DOTALL,
)


def encoding_of(start: bytes) -> str:
    """A key of ADVICE for a text that begins so; "" for anything else."""
    text = start[:START].strip()
    if _DATA_URL.match(text):
        return "a data URL"
    quote = re.match(rb"""b?['"]""", text)
    body = b"".join(text[quote.end() if quote else 0 :].split())[: START // 2]
    if quote and quote[0][:1] == b"b" and re.match(rb"\\x|GIF8|RIFF|BM|II|MM|P\d", body):
        return "text of bytes as Python prints them"
    if re.fullmatch(rb"[0-9a-fA-F]+", body):
        return "hexadecimal text" if _PICTURE.match(bytes.fromhex(body[: len(body) // 2 * 2].decode())) else ""
    import base64  # not needed to read images
    import binascii

    plain = body.translate(bytes.maketrans(b"-_", b"+/"))
    try:
        decoded = base64.b64decode(plain[: len(plain) // 4 * 4], validate=True)
    except binascii.Error:
        return ""
    if not _PICTURE.match(decoded):
        return ""
    return "base64 text" if plain == body else "base64 text for URLs"


def encoded_as(start: bytes) -> str:
    """What a text that begins so is, with advice; "" for anything else."""
    kind = encoding_of(start)
    return f"{kind}; {ADVICE[kind]}" if kind else ""
