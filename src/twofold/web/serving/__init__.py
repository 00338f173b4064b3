"""The server: it bounds what one process takes on, and stops cleanly.

server.py       serve until a signal stops the process
admission.py    refuses requests beyond what the process can handle soon
connections.py  ends connections that are too slow or too large
limits.py       the limits of both
"""
