"""The extra `serve`: a package of it that is not installed is told with the way to install it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from npresnet.errors import NpresnetError


@contextmanager
def installed() -> Iterator[None]:
    """Around imports that need the extra. Raises NpresnetError for a package that is missing."""
    try:
        yield
    except ImportError as error:
        package = (error.name or "npresnet").partition(".")[0]
        if package == "npresnet":
            raise
        raise NpresnetError(
            f"serve needs the package {package}, which is not installed: pip install 'npresnet[serve]'"
        ) from None
