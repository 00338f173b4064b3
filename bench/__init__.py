"""How fast twofold is, compared with its peers, a floor and a ceiling, in one run on one machine: `./dev bench`.

A scenario (`scenarios/`) describes what is measured. A side (`sides/`) does it: twofold, a peer, the bare driver. Each
side is a process with the Python it needs; the parent runs them in turn, never at the same time, and checks their
results.
"""
