"""What runs compiled steps: memory, threads and BLAS.

Read `memory` (arena and scratch), `pool` (plans for concurrent calls), `running` (one thread), `workers` (threads),
`schedule` (workers that share one image), `stopwatch`, `blas` (NumPy's BLAS, limited to one thread), `cpus`.
"""
