"""The measuring kit, and what `npresnet bench` runs with it. benchmarks/ holds what only its scripts need.

npresnet beside other engines, fairly:

    engines   which engines there are, and which are installed
    peers     how each is loaded (its library is imported inside the function that needs it)
    prepare   one model's files, made once for all engines: weights, graph, ONNX, images, float64 logits
    worker    the child process in which one engine lives; `process` is the parent's end of its pipe
    compare   parity first, then interleaved rounds
    results   what came out, as JSON; `tables` shows it as text or Markdown; `machine` says where it was measured

npresnet alone:

    layers    every step timed in its place (--layers); `layer_tables` shows it
    tune      every algorithm of every convolution timed (--tune), `tune_gpu` on a GPU

Clocks are `timing` on the CPU and `gpu_timer` on a GPU; `peak` and `gpu_ceilings` measure what a machine can reach.

The rules of a comparison: equal threads, float32, one process an engine started with every OPENBLAS_* variable unset,
one engine active at a time, and no time for an engine whose logits are wrong.
"""
