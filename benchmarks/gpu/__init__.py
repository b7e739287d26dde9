"""What benchmarks/gpu_report.py measures and proves on a GPU.

    bench        the GPU, its timer, PyTorch beside it, which sizes; `torch_peer` is that PyTorch
    subjects     the networks and images that are run
    stages       a report is stages of cases, each kept as soon as it is measured
    conformance, parity, sanitizer, ceilings, kernels, networks      the stages
    tables       the results as Markdown

Each imports only from those above it.
"""
