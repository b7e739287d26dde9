"""The user-facing model: created by `load` and `build`, used by `predict`.

Reading order: `finding` (which file a name means), `loading` (weight file or name -> Model), `told` (what a file says
beside its tensors), `decisions`, `bounds`, `ambiguity`, `labels` and `metadata` (settings that the tensors do not
determine), `model` (images in, predictions out), `preparing` (prepared weights ahead of a load), `sources` (images or
clips), `inputs` and `batches` (checks, and reading ahead), `prediction`, `records`, `rows` and `on_gpu` (batch after
batch, on either backend), and `executables` (the compiled parts of a network).
"""
