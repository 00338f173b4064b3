"""The server: it bounds what one process takes on, and stops cleanly.

server.py          serve until a signal stops the process
admission.py       refuses requests beyond what the process can handle soon
connections.py     ends connections that are too slow or too large
limits.py          the limits of both
ops.py             /status and /metrics at an address of their own
local.py           an App without users, on loopback, is not used by pages of other sites
sockets.py         addresses to listen at
uvicorn_server.py  how uvicorn is run
"""
