"""What the scripts of benchmarks/ add to `npresnet.bench`.

cold, memory, determinism    what coldstart.py, memory.py and determinism.py measure
tables, plots                how report.py shows results, beside the tables of `npresnet.bench`
script                       what the scripts have in common
"""
