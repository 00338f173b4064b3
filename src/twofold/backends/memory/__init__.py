"""The executable specification: everything a backend must do, in the fewest lines, in the memory of one process.

For tests, and to read before writing a backend. It runs on one event loop. To open an App several times on one store,
pass the same objects.
"""

from twofold.backends.memory.checkpoints import MemoryCheckpoints
from twofold.backends.memory.log import MemoryLog
from twofold.backends.memory.read_store import MemoryReadStore, Refuses
from twofold.backends.memory.requests import MemoryRequests

__all__ = ["MemoryCheckpoints", "MemoryLog", "MemoryReadStore", "MemoryRequests", "Refuses"]
