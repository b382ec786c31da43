"""Measurements of `unrolled` beside its peers: `python -m bench NAME … [--data FOLDER]`."""
