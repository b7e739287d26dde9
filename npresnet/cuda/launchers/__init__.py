"""One launcher for each .cu file, of the same name: from a layer to complete kernel calls. No CuPy here."""
