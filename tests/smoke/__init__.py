"""Smoke checks: npresnet from its wheel, in fresh environments of many kinds. `python -m tests.smoke`

program/       runs inside any interpreter, with nothing but the installed package; reference.json: PyTorch's logits
reference      writes reference.json, by PyTorch in float64
interpreters   which Pythons this machine has
environments   virtual environments with the oldest and the newest dependencies
frozen         the smoke check and the command, frozen by PyInstaller
matrix         what is run where, and what must be true there
"""
