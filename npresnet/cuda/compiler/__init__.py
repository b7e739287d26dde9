"""Network -> launches: which kernel each layer takes, where every value lies, the arguments of every launch.

Read `lowering`, `operations` (each operation's launches), `choices` and `tuning`, `reduction` and `arena`.
"""
