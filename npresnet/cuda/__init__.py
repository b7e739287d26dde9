"""The GPU backend: hand-written CUDA kernels, launched through CuPy."""
