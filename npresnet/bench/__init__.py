"""The benchmark library, and what `npresnet bench` runs with it. Code that only scripts need is in benchmarks/.

npresnet and other engines, compared fairly:

    engines   the engines, and which are installed
    peers     how each is loaded (its library is imported inside the function that needs it)
    prepare   one model's files, made once for all engines: weights, graph, ONNX, images, float64 logits
    worker    the child process of one engine; `process` is the parent's end of its pipe
    compare   parity first, then interleaved rounds
    results   the results as JSON; `tables` formats them as text or Markdown; `machine` describes the machine

npresnet alone:

    layers    every step timed within a whole run (--layers); `layer_tables` formats the times
    tune      every algorithm of every convolution timed (--tune), `tune_gpu` on a GPU

Times are taken by `timing` on the CPU and `gpu_timer` on a GPU; `peak`,
`gpu_ceilings` and `hopper_ceilings` measure a machine's limits.

The rules of a comparison: equal threads, float32, one process an engine started with every OPENBLAS_* variable unset,
one engine active at a time, and no time for an engine whose logits are wrong.
"""
