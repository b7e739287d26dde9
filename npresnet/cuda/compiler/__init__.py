"""Network -> Program: which kernel each node takes, where every value lies, the arguments of every launch.

Read `program`, `lowerings` (the table of operations), `reduction`, `placement`, `layout`, `choices`, `tuning` and
`cost` (what a choice should take).
"""
