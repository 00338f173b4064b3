"""The executable specification: all that a backend must do, in the fewest lines, in the memory of one process.

For tests, and for reading before you write a backend. It runs on one event loop. Several openings share a store by
passing on the same objects.
"""

from twofold.backends.memory.checkpoints import MemoryCheckpoints
from twofold.backends.memory.log import MemoryLog
from twofold.backends.memory.read_store import MemoryReadStore, Refuses
from twofold.backends.memory.requests import MemoryRequests

__all__ = ["MemoryCheckpoints", "MemoryLog", "MemoryReadStore", "MemoryRequests", "Refuses"]
