"""How each operation is computed with NumPy: tiles of calls on views that were made beforehand.

Read `calls` (the NumPy calls), `gemm` (one matrix product), `tiling`, `direct` and `winograd` with `winograd_matrices`
(convolutions, which `conv2d` brings together, their weights in `filters`), `stem`, `pooling`, `pointwise`, `head`.
"""
