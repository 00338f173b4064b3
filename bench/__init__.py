"""How fast twofold is, beside its peers, a floor and a ceiling, in one run on one machine: `./dev bench`.

A scenario (`scenarios/`) says what is measured. A side (`sides/`) does it: twofold, a peer, the bare driver. Each
side is a process of its own with the Python it needs; the parent lets them work in turn, never at the same time, and
checks what they have done.
"""
