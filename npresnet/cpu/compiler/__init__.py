"""Network -> what runs on this CPU: which algorithm each layer takes, prepacked weights, and the steps themselves.

Read `choices` and `tuning` (which algorithm), `lowering` (every operation's tiles), `stages` (deep layers take several
images at once), `prepack` and `prepared` (weights, and the file that keeps them).
"""
