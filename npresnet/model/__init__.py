"""A model as its users know it: `load` and `build` make it, `predict` asks it.

Read `loading` (a weight file or a name -> Model), `decisions`, `labels` and `metadata` (what the tensors do not say),
`model` (images in, predictions out), `inputs` and `batches` (what counts as images, read ahead), `prediction`, and
`executables` (the compiled parts of one network, on either backend).
"""
