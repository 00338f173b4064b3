"""SQLite, embedded: the log in one file, the read models in a second one beside it.

Each process has one thread that writes to a file and others that read; the file's own lock orders the processes.
"""
