"""SQLite, embedded: the log in one file, the read models in a second one beside it.

One writer thread in each process, one more for reads; between processes the file's own lock gives the order.
"""
