"""What benchmarks/gpu_report.py measures and checks on a GPU.

    bench        the GPU, its timer, PyTorch as the peer (`torch_peer`), the sizes
    subjects     the networks and images that are run
    stages       a report is stages of cases, each stored as soon as it is measured
    conformance, parity, sanitizer, ceilings, kernels, networks      the stages
    tables       the results as Markdown

Each imports only from those above it.
"""
