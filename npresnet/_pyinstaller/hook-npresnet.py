"""What PyInstaller must put into a program that imports npresnet, and cannot see: it follows `import` lines only.

hiddenimports           modules that are imported when they are used first, by names made at run time
datas                   the demo model and its photo, label names, pages, CUDA sources, metadata with the version
module_collection_mode  the sources too: exercises, the ladder and `explain` show them
excludedimports         frameworks that a few functions compare with, gigabytes where they are installed; and Ray, which
                        starts Pythons
"""

# ruff: noqa: N999  PyInstaller finds hooks by such names
from __future__ import annotations

from PyInstaller.utils.hooks import collect_data_files, collect_submodules, copy_metadata

from npresnet.system.kernel_root import kernel_root

hiddenimports = collect_submodules("npresnet")
datas = collect_data_files("npresnet", excludes=["kernels/**"]) + copy_metadata("npresnet")
datas += [  # beside the package in an editable install
    (str(path), str("npresnet/kernels" / path.parent.relative_to(kernel_root())))
    for path in kernel_root().rglob("*")
    if path.suffix in (".cu", ".cuh", ".md")
]
module_collection_mode = "pyz+py"
excludedimports = ["matplotlib", "onnxruntime", "openvino", "ray", "timm", "torch", "torchvision"]
