"""What runs launches: CuPy, CUDA's compiler, graphs and memory on the GPU.

Read `gpu` and `gpus` (CuPy), `context` and `failures` (its errors, and which of them end all work), `programs`
(captured as graphs), `stopwatch`, `weights`, `images` and `staging` (what goes to the GPU), `tickets` (counters of
split convolutions), `source`, `nvrtc`, `nvrtc_library`, `modules`, `compile_log` and `kernels` (from .cu files to
calls), `driver` and `extended_launch` (launches that CuPy cannot make), `tensor_map` (TMA).
"""
