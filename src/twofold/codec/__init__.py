"""Message classes to stored JSON and back. What is read again always equals what was stored."""

from twofold.codec.codec import Codec
from twofold.codec.form import MAX_EVENT_BYTES, Stored

__all__ = ["MAX_EVENT_BYTES", "Codec", "Stored"]
