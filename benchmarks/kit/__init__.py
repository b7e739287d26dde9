"""The parts of the scripts in benchmarks/ that `npresnet.bench` does not have.

cold, memory, determinism    the measurements of coldstart.py, memory.py and determinism.py
load                         the load that serve.py makes
folder, draft, photos        those of folder.py and draft.py, and the photos that both make
tables, plots                report.py's tables and plots, in addition to the tables of `npresnet.bench`
pages                        pages with a generated part
sweep                        what families.py runs: architectures, homes, refusals
script                       shared by the scripts
"""
