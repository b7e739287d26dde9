"""The GPU backend: hand-written CUDA kernels, launched through CuPy.

Read `executable` (a call, from images to logits), `graphs` (what is kept for each batch size), `lowering` (Network ->
steps of launches), `operations` (each operation's launches), `arena` (where values lie), `choices` (which kernel a
convolution takes) and `runtime` (CuPy). Kernels are in `kernels/`, each with a launcher of the same name in
`launchers`; `source`, `nvrtc` and `modules` compile them and keep what was compiled.
"""

from __future__ import annotations

from npresnet.cuda.elements import ELEMENTS, Element
from npresnet.cuda.executable import Executable, compile
from npresnet.cuda.runtime.gpu import Gpu, open_gpu
from npresnet.cuda.runtime.weights import Weights

__all__ = ["ELEMENTS", "Element", "Executable", "Gpu", "Weights", "compile", "open_gpu"]
