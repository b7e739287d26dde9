"""The GPU backend: hand-written CUDA kernels, launched through CuPy.

Read `executable` (a call, from images to logits), `pipeline` (batches of pixels that overlap), `compiler` (Network ->
Program: kernels, tiles, places, steps of launches) and `runtime` (CuPy; programs captured as graphs). Kernels are in
`kernels/`, each with a launcher of the same name in `launchers`, where its operation's lowering is;
`compiler.lowerings` has the table of all.
"""

from __future__ import annotations

from npresnet.cuda.elements import ELEMENTS, Element
from npresnet.cuda.executable import Executable, compile
from npresnet.cuda.pipeline import Pipeline
from npresnet.cuda.pixels import Normalisation
from npresnet.cuda.runtime.gpu import Gpu, open_gpu
from npresnet.cuda.runtime.weights import Weights

__all__ = ["ELEMENTS", "Element", "Executable", "Gpu", "Normalisation", "Pipeline", "Weights", "compile", "open_gpu"]
