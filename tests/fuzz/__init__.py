"""Structure-aware fuzzers of the weight formats, see `python -m tests.fuzz --help`. One file a format (formats.py)."""
