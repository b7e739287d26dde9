"""Budget: what reading a file may cost, in steps and bytes, so that a small file is read or refused quickly.

- A step takes at most about half a microsecond, or makes about 100 bytes of objects. Every opcode of a pickle, item of
  a dict, entry of JSON, tensor and object of HDF5 is charged the steps that it costs.
- Bytes are charged where they are *made*: inflated, copied, decoded to text, widened or swapped, not where the file has
  them. Mapped arrays cost nothing.
- A file of less than 1 MB therefore takes at most 2 s and 300 MB; both limits grow in proportion to its size. Shards
  that belong together share one budget.
"""

from __future__ import annotations

from npresnet.errors import CheckpointError

STEPS = 800_000  # of a file of any size, plus one for each of its bytes
MADE_BYTES = 128 << 20
_MADE_PER_BYTE = 16


class Budget:
    """What is left for one file, or for all shards of one state dict.

    steps       see above
    room_bytes  that may still be made
    """

    __slots__ = ("room_bytes", "size_bytes", "steps")

    def __init__(self, size_bytes: int = 0, *, steps: int = STEPS):
        self.steps = steps
        self.room_bytes = MADE_BYTES
        self.size_bytes = 0
        self.extend(size_bytes)

    def extend(self, size_bytes: int) -> None:
        """A further file belongs to what is read."""
        self.size_bytes += size_bytes
        self.steps += size_bytes
        self.room_bytes += _MADE_PER_BYTE * size_bytes

    def spend(self, steps: int) -> None:
        """Charge steps. Raises CheckpointError if too few are left."""
        self.steps -= steps
        if self.steps < 0:
            raise CheckpointError(
                f"reading it takes more work than any checkpoint of {self.size_bytes:,} bytes needs; it is damaged or "
                "hostile."
            )

    def make(self, size_bytes: int) -> None:
        """Charge bytes, before they are made. Raises CheckpointError if too few are left."""
        self.room_bytes -= size_bytes
        if self.room_bytes < 0:
            raise CheckpointError(
                f"reading it takes far more memory than its {self.size_bytes:,} bytes; it is damaged or hostile. If it "
                "is merely compressed, store it without compression."
            )
