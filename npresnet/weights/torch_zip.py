"""PyTorch's zip format, written by `torch.save` since 1.6.

- All records are in one folder, named after the file or `archive`; it is the folder that holds `data.pkl`.
- `data.pkl` is a pickle (protocols 0 to 5) whose persistent ids are
  `("storage", storage class, key, location, number of elements)`. The location (`cuda:0`) is ignored.
- `data/<key>` holds a storage's bytes. It MUST exist for every key and MUST hold the declared elements.
- Records are stored and aligned to 64 bytes, so arrays are views of the mapped file; re-zipped archives may be deflated
  or misaligned, and are copied.
- `byteorder` is `little` or `big`; absent means little.
- `version`, `.format_version`, `.storage_alignment`, `.data/serialization_id` are ignored.
- CRCs of stored records are not verified: that would read the whole file, and torch may omit them.
- TorchScript has `constants.pkl` and `code/` beside `data.pkl`: a program rather than weights, so refused.
"""

from __future__ import annotations

from npresnet.errors import CheckpointError
from npresnet.weights.contents import Contents
from npresnet.weights.pickle_machine import Machine
from npresnet.weights.source import Source, shown
from npresnet.weights.tensor import Storage, Tensor
from npresnet.weights.torch_globals import STORAGE_STEPS, handlers, storage_id
from npresnet.weights.unpickle import unpickle
from npresnet.weights.zip_file import ZipFile

_MAX_ORDER_BYTES = 16
_TORCHSCRIPT = (
    "this is a TorchScript program, not a file of weights. In PyTorch: "
    "`torch.save(torch.jit.load(path).state_dict(), 'weights.pth')`, then read that."
)


def read_torch_zip(source: Source, archive: ZipFile, folder: str) -> Contents:
    """The object in `<folder>data.pkl`, with its tensors."""
    names = archive.members
    if f"{folder}constants.pkl" in names or any(name.startswith(f"{folder}code/") for name in names):
        raise CheckpointError(_TORCHSCRIPT)
    storages = _Storages(archive, folder)
    tensors: list[Tensor] = []
    span = archive.span(f"{folder}data.pkl")
    budget = source.budget
    machine = Machine(
        span.buffer,
        span.start,
        span.stop,
        handlers=handlers(tensors, budget),
        persistent=storages.of_persistent_id,
        budget=budget,
    )
    root = unpickle(machine)
    for tensor in tensors:
        tensor.check()
    return Contents("torch zip", root, storages.notes)


def find_folder(names: list[str]) -> str | None:
    """The folder (with trailing slash) that holds data.pkl, or None. Several are refused."""
    folders = [name.removesuffix("data.pkl") for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(folders) > 1:
        raise CheckpointError(
            f"expected one data.pkl in the archive, got {len(folders)} ({', '.join(map(shown, folders[:3]))})."
        )
    return folders[0] if folders else None


class _Storages:
    """Storages by key, created when the pickle first refers to them."""

    def __init__(self, archive: ZipFile, folder: str):
        self.archive = archive
        self.folder = folder
        self.by_key: dict[str, Storage] = {}
        self.big_endian = self._is_big_endian()
        self.notes = ["the file is big-endian"] if self.big_endian else []

    def _is_big_endian(self) -> bool:
        name = f"{self.folder}byteorder"
        if name not in self.archive.members:
            return False
        size_bytes = self.archive.members[name].size_bytes
        order = self.archive.span(name).read() if size_bytes <= _MAX_ORDER_BYTES else f"{size_bytes:,} bytes"
        if order not in (b"little", b"big"):
            raise CheckpointError(f"its byteorder is {shown(order)}; expected little or big.")
        return order == b"big"

    def of_persistent_id(self, name: object) -> Storage:
        self.archive.source.budget.spend(STORAGE_STEPS)
        key, element, numel = storage_id(name)
        known = self.by_key.get(key)
        if known is None:
            known = self.by_key[key] = self._open(key, element, numel)
        return known.same_as(element, numel)

    def _open(self, key: str, element: str, numel: int) -> Storage:
        storage = Storage(key, element, numel, self.big_endian, budget=self.archive.source.budget)
        record = f"{self.folder}data/{key}"
        member = self.archive.members.get(record)
        if member is None:
            raise CheckpointError(f"record {shown(record)} is missing; the file is damaged or incomplete.")
        if numel < 0 or storage.size_bytes > member.size_bytes:
            raise CheckpointError(
                f"record {shown(record)} holds {member.size_bytes:,} bytes, but {numel:,} elements of {element} "
                f"need {storage.size_bytes:,}; the file is damaged."
            )
        storage.open = lambda: self.archive.span(record)
        return storage
