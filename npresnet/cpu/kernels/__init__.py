"""How each operation is computed with NumPy: tiles of calls on preallocated views.

Read `lowering` (an operation's interface), `calls` (the NumPy calls), `gemm` (one matrix product), `layer`, `filters`
(weights), `tiling`, `direct` and `winograd` with `winograd_matrices` (convolutions, joined in `compiler.conv2d`),
`stem`, `pooling`, `pointwise`, `activations`, `head`; of convolutions over clips `clip_filters`, `clip_tiling`,
`clip_direct` and `clip_winograd` (joined in `compiler.conv3d`).
"""
