"""Settings of a server: its name, how it batches, and its limits."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from typing import Any

from npresnet.serve.refusals import ServeError

MIB = 2**20
HELD_BODIES = 8  # all bodies in memory together may be as large as that many of the largest


@dataclass(frozen=True)
class Settings:
    """What `npresnet serve` and `app` can be told.

    Raises ServeError, an NpresnetError, for a value out of its range.

    Attributes
    ----------
    name : str, optional
        The model's name in addresses: letters, digits, `.`, `_`, `-`; by default that of its file.
    max_batch : int
        Images computed together.
    batch_wait_ms : float
        How long an image may wait for others, in ms.
    max_body_mb : float
        Size of a request's body, also after inflating, in MiB.
    max_images : int
        Images of one request.
    max_queue : int
        Images that are waiting or being computed, and requests in progress; beyond that 503.
    body_timeout_s : float
        How long a client may take to send its request's body.
    """

    name: str | None = None
    max_batch: int = 32
    batch_wait_ms: float = 2.0
    max_body_mb: float = 32.0
    max_images: int = 64
    max_queue: int = 256
    body_timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if self.name is not None and not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", self.name):
            raise ServeError(
                f"a model's name is a part of addresses: expected at most 100 letters, digits, '.', '_' and '-', got "
                f"{self.name!r:.120}"
            )
        for name in ("max_batch", "max_images", "max_queue"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ServeError(f"{name} must be an integer of at least 1, got {value!r:.60}")
        for name, least in (("batch_wait_ms", 0.0), ("max_body_mb", 1e-6), ("body_timeout_s", 1e-3)):
            value = getattr(self, name)
            if type(value) not in (int, float) or not math.isfinite(value) or value < least:
                raise ServeError(f"{name} must be a number of at least {least:g}, got {value!r:.60}")
        if self.max_images > self.max_queue:
            raise ServeError(
                f"max_images = {self.max_images} is more than max_queue = {self.max_queue}, so that such a request "
                "could never be answered; raise max_queue, or lower max_images"
            )

    @classmethod
    def of(cls, given: dict[str, Any]) -> Settings:
        """From keyword arguments. Raises ServeError for an unknown one."""
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise ServeError(f"unknown setting {unknown[0]!r:.60}; expected one of {', '.join(known)}")
        return cls(**given)

    @property
    def max_body(self) -> int:
        """Bytes of a body."""
        return int(self.max_body_mb * MIB)

    @property
    def max_held(self) -> int:
        """Bytes of all bodies that are in memory at once."""
        return HELD_BODIES * self.max_body
