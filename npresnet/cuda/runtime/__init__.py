"""What runs launches: CuPy, CUDA's compiler, graphs and memory on the GPU.

Read `gpu` and `gpus` (CuPy), `programs` (captured as graphs), `stopwatch`, `weights` and `images` (what goes to the
GPU), `source`, `nvrtc`, `nvrtc_library`, `modules` and `compile_log` (from .cu files to loaded kernels), `tensor_map`
(TMA).
"""
