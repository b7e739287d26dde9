"""The emulator's own encoding of a tensor map: the fields that tests/emulator/block.h reads, in CUDA's 128 bytes."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.runtime import tensor_map
from npresnet.cuda.runtime.tensor_map import TensorMap

MAGIC = 0x7A3E  # a kernel that was handed something else is found out

# struct TensorMapFields: dimensions innermost first; (w, h); box (columns, rows) or (channels, pixels)
FIELDS = np.dtype(
    {
        "names": "base size stride_bytes lower upper step box element_bytes swizzle_bytes im2col magic tf32".split(),
        "formats": ["<u8", "4<u8", "3<i8", "2<i4", "2<i4", "2<i4", "2<u4", "<u2", "<u2", "<u2", "<u2", "<u2"],
        "offsets": [0, 8, 40, 64, 72, 80, 88, 96, 98, 100, 102, 104],
        "itemsize": tensor_map.MAP_BYTES,
    }
)


def pack(tensor: TensorMap) -> np.ndarray:
    """As npresnet.cuda.runtime.tensor_map.encode: one item of 128 bytes. Refuses what the copy engine would."""
    tensor_map.check(tensor)
    item = tensor_map.aligned_item(FIELDS)
    item["base"] = tensor.address
    item["size"] = (*tensor.dims, 1, 1)[:4]
    item["stride_bytes"] = (*tensor.strides, 0, 0)[:3]
    item["lower"] = tensor.lower or (0, 0)
    item["upper"] = tensor.upper or (0, 0)
    item["step"] = tensor.element_strides[1:3] if tensor.is_im2col else (1, 1)
    item["box"] = tensor.box
    item["element_bytes"] = tensor.element.item_bytes
    item["swizzle_bytes"] = tensor.swizzle
    item["im2col"] = tensor.is_im2col
    item["magic"] = MAGIC
    item["tf32"] = tensor.element.name == "tf32"
    return item
