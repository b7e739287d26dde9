"""One launcher for each .cu file, of the same name: from a layer to complete kernel calls.

A launcher's file also has the lowering of its operation; `lowering` says what the compiler asks of one. No CuPy here.
"""
