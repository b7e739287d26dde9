"""The user-facing model: created by `load` and `build`, used by `predict`.

Reading order: `finding` (which file a name means), `loading` (weight file or name -> Model), `converting` (or -> .npz),
`interpreting` (what both do with a weight file), `told` (what a file says beside its tensors), `decisions`, `bounds`,
`ambiguity`, `labels` and `metadata` (settings that the tensors do not determine), `runtime` (where and how to run),
`array_model`, `image_model` and `model` (arrays to arrays, images to arrays, images to predictions: each adds to the
one before), `maps` (class activation maps; `one_class`: which class a text means), `preparing` (prepared weights ahead
of a load), `sources` (images or clips), `inputs` and `batches` (checks, and reading ahead), `prediction`, `rows`,
`on_cpu` and `on_gpu` (batch after batch, on either backend), and `executables` (the compiled parts of a network).

Beside it: `label_sources` and `label_dicts` (objects that labels may be), `label_texts`, `label_columns`,
`label_doubts` and `yaml_names` (forms of label files, and what may be one of several), `records` (what is written of
one image), `evaluating` and `evaluation` with `class_folders`, `tables`, `class_matching`, `class_mapping` and
`class_spelling` (labelled images, and how often a model is right).
"""
