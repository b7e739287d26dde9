"""Detect a file's format from its bytes, never from its name, and call the reader.

| first bytes | format |
|---|---|
| `PK 3 4` | zip: with `data.pkl` PyTorch's, with `model.weights.h5` Keras's, with `.npy` members NumPy's |
| `80 02` to `80 05`, or a text pickle | pickle: with PyTorch's magic number its older format |
| `ustar` at byte 257 | tar: PyTorch's oldest |
| 8 bytes, then `{` | safetensors |
| `89 HDF` | HDF5: Keras |
| `12 01`, then 14 zeros | MXNet's list of arrays |
| anything else | refused; common other formats are named |

Readers are imported on demand: importing the pickle interpreter takes 3 ms, which reading `.npz` does not need.
"""

from __future__ import annotations

from npresnet.errors import CheckpointError
from npresnet.weights.contents import Contents
from npresnet.weights.npz import read_npz
from npresnet.weights.source import Source, shown
from npresnet.weights.zip_file import ZipFile

FORMATS = (
    "PyTorch (.pth, .pt, .th, .bin), safetensors, NumPy's .npz, Keras (.h5, .keras), MXNet (.params) and pickles of "
    "arrays (.pkl, .pdparams)"
)

_HTML = "this is an HTML page, not weights: probably an error or login page. Download the file itself."
_LFS = "this is a Git LFS pointer, not the weights it points to. Run `git lfs pull`, or download the file itself."
_COMPRESSED = "this is a compressed file ({0}). Decompress it, then pass the file inside."
_ONNX = "this looks like an ONNX file, which is not supported. Load the weights that it was exported from."
_PT2 = "this is a program of torch.export (.pt2), which is not supported. Save the `state_dict()` of the model instead."
_FOREIGN = {
    b"<!do": _HTML, b"<htm": _HTML, b"<hea": _HTML, b"<?xm": _HTML, b"<err": _HTML,
    b"version https://git-lfs": _LFS,
    b"\x1f\x8b": _COMPRESSED.format("gzip"), b"bzh": _COMPRESSED.format("bzip2"),
    b"\xfd7zxz": _COMPRESSED.format("xz"), b"\x28\xb5\x2f\xfd": _COMPRESSED.format("zstd"),
    b"7z\xbc\xaf": _COMPRESSED.format("7z"), b"rar!": _COMPRESSED.format("rar"),
    b"gguf": "this is a GGUF file (llama.cpp), which is not supported.",
    b"\x93nump": "this is a single array (.npy), not a state dict; save all arrays: `np.savez(path, **state_dict)`.",
    b"\x89png": "this is a picture, not weights.", b"\xff\xd8\xff": "this is a picture, not weights.",
    b"pk\x05\x06": "this is an empty zip archive.",
    b"{": "this is JSON text, not weights: perhaps the error message of a download.",
}  # fmt: skip
HDF5 = b"\x89HDF\r\n\x1a\n"
MXNET = b"\x12\x01" + bytes(14)
_PROTOCOLS = (b"\2", b"\3", b"\4", b"\5")
_TEXT_PICKLE = (b"(", b"]", b"}", b"c")


def read_contents(source: Source) -> Contents:
    """Read a file in its detected format. Raises CheckpointError if the format is unknown or the file is damaged."""
    head = source.head(512)
    if head.startswith(b"PK\x03\x04"):
        return _read_zip(source)
    from npresnet.weights.plain_pickle import read_plain_pickle
    from npresnet.weights.safetensors import is_safetensors, read_safetensors
    from npresnet.weights.torch_legacy import has_magic, read_torch_legacy
    from npresnet.weights.torch_tar import is_tar, read_torch_tar

    if is_tar(head):
        return read_torch_tar(source)
    if has_magic(head):
        return read_torch_legacy(source)
    if head[:1] == b"\x80" and head[1:2] in _PROTOCOLS:
        return read_plain_pickle(source)
    if is_safetensors(head):
        return read_safetensors(source)
    if head.startswith(HDF5):
        from npresnet.weights.hdf5 import read_hdf5

        return read_hdf5(source)
    if head.startswith(MXNET):
        from npresnet.weights.mxnet import read_mxnet

        return read_mxnet(source)
    _refuse_foreign(head)
    return _read_text_pickle(source, head)


def _read_text_pickle(source: Source, head: bytes) -> Contents:
    """Protocols 0 and 1 have no magic number, so the file is tried as a pickle."""
    from npresnet.weights.plain_pickle import read_plain_pickle

    reason = ""
    if head.startswith(_TEXT_PICKLE):
        try:
            return read_plain_pickle(source)
        except CheckpointError as error:
            reason = f" As a text pickle: {error}"
    raise CheckpointError(f"unknown file format: it begins with {head[:8]!r}. Supported are {FORMATS}.{reason}")


def _read_zip(source: Source) -> Contents:
    archive = ZipFile(source)
    names = list(archive.members)
    if any(name.endswith("data.pkl") for name in names):
        from npresnet.weights.torch_zip import find_folder, read_torch_zip

        folder = find_folder(names)
        if folder is not None:
            return read_torch_zip(source, archive, folder)
    if "model.weights.h5" in names:
        from npresnet.weights.keras_zip import read_keras

        return read_keras(source, archive)
    if any(name.endswith(".npy") for name in names):
        return read_npz(source, archive)
    if any("/data/weights/" in name or name.endswith("serialized_exported_program.json") for name in names):
        raise CheckpointError(_PT2)
    raise CheckpointError(
        f"this is a zip archive with neither data.pkl (PyTorch) nor .npy members (NumPy); it holds "
        f"{', '.join(map(shown, names[:3])) or 'nothing'}. If the weight file is inside, unpack it and pass that."
    )


def _refuse_foreign(head: bytes) -> None:
    if head[:1] == b"\x08" and head[1:2] <= b"\x20" and head[2:3] in (b"\x12", b"\x3a"):  # version, then name or graph
        raise CheckpointError(_ONNX)
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    for magic, advice in _FOREIGN.items():
        if start.startswith(magic):
            raise CheckpointError(advice)
