"""This machine's own table of choices, written by `npresnet bench --tune`: a JSON file in the user's config folder.

    {"format": 1, "kernels": {"SkylakeX, <processor>": {"3x3 64->64, 56x56": ["winograd", 4, "panels"], ...}}}

A table that cannot be read counts as none: it may make things faster, never wrong.
"""

from __future__ import annotations

from collections.abc import Mapping

from npresnet.cpu.choices import Choice


def table() -> Mapping[str, Choice]:
    """The choices measured on this machine for the BLAS kernel in use; {} where nobody measured."""
    return {}
