"""Scripts that measure npresnet; from any folder, `python benchmarks/NAME.py --help` tells more.

    vs_peers      speed and error beside PyTorch, ONNX Runtime and OpenVINO
    layers        the time of every step
    coldstart     a fresh process from weight file to label; its programs are in cold/
    memory        what each engine's process holds, batch by batch
    determinism   whether an image's bits depend on batch, place, threads or process
    gpu_report    what there is to measure and to prove on a GPU
    report        docs/performance.md from the files in results/

`kit` and `gpu` are what the scripts are made of; most of the measuring is done by `npresnet.bench`, which
`npresnet bench` uses too. Nothing in npresnet imports this package, and it is in no wheel.
"""
