"""What benchmarks/gpu_report.py measures and checks on a GPU, and what benchmarks/gpu_model.py predicts of one.

    subjects     the networks and images that are run
    references   their logits in float64, prepared beforehand
    torch_peer   PyTorch on the same GPU
    bench        the GPU, its timer, the peer, the sizes
    stages       a stage is a list of cases
    guarded      one layer of whole numbers between zones that are checked
    exact_network    a network whose logits are exact
    exact_stem   the stem and its max pool as one kernel
    exact, conformance, parity, sanitizer, ceilings, kernels, tuning, networks, pixels      the cases
    calls        all stages in their order, in three calls
    tables       the results as Markdown
    record       the results file: what is known, what has to be measured
    worker       the child process that measures cases
    supervisor   its parent, which tells what hung from what died
    model        predictions for every step of a network
    model_tables     the same as Markdown

Each imports only from those above it.
"""
