"""What runs compiled steps: memory, threads and BLAS.

Read `memory` (arena and scratch), `running` (one thread, from end to end), `workers` (threads), `schedule` (workers
that share one image), `blas` (NumPy's BLAS, held to one thread meanwhile), `cpus`.
"""
