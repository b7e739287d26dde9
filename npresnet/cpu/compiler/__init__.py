"""Network -> Program: which algorithm each layer uses, prepacked weights, and the steps.

Read `program` (all of compilation), `programs` (their cache), `lowerings` (every operation), `conv2d`, `conv3d`,
`choices` and `tuning` (algorithms), `split` and `stages` (a batch between workers; deep layers take several images at
once), `prepack` and `prepared` (weights, and when they are stored), `prepared_file` and `prepared_folder` (where).
"""
