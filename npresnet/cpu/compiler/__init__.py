"""Network -> what runs on this CPU: which algorithm each layer takes, prepacked weights, and the steps themselves.

Read `program` (the whole way), `lowerings` (every operation), `choices` and `tuning` (which algorithm), `split` and
`stages` (a batch between workers; deep layers take several images at once), `prepack` and `prepared` (weights, and the
file that keeps them).
"""
