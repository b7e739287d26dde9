"""Scripts that measure npresnet; from any folder, see `python benchmarks/NAME.py --help`.

    vs_peers      speed and error compared with PyTorch, ONNX Runtime and OpenVINO
    interpreters  one image under several Pythons, such as one without the global interpreter lock
    layers        the time of every step
    coldstart     a fresh process from weight file to label; its programs, and folder's, are in cold/
    folder        a folder of photos to labels, whole processes
    draft         what changes where photos are scaled while they are decoded
    memory        memory of each engine's process by batch size
    serve         requests per second of `npresnet serve` and of the programs in serve_peers/
    determinism   whether an image's bits depend on batch, place, threads or process
    families      every ResNet of timm and torchvision, and the files of other homes: right, or asked, or said
    gpu_report    all measurements and checks on a GPU, in three calls
    gpu_model     predictions for a GPU by a model: needs none, and measures nothing
    ray_scaling   one worker and two on a local Ray cluster, and what each part costs
    report        docs/performance.md from the files in results/

The scripts' parts are in `kit` and `gpu`; most of the measuring is done by `npresnet.bench`, which `npresnet bench`
uses too. npresnet does not import this package, and wheels do not contain it.
"""
