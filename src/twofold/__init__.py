"""twofold: CQRS for Python. Commands are decided, every change enters one feed, read models are folds of it."""

from twofold.app import App, Running
from twofold.codec import Stored
from twofold.errors import (
    ConfigurationError,
    InvalidCursor,
    InvalidEvent,
    InvalidInput,
    InvalidQuery,
    InvalidToken,
    LogReplaced,
    OutcomeUnknown,
    ReadModelBehind,
    Rejected,
    RowParked,
    RowUnreadable,
    TwofoldError,
    Unavailable,
    UndecodableEvent,
    VersionConflict,
)
from twofold.messages import Position, Receipt, Recorded, Stream
from twofold.react.reactor import Reactor, To
from twofold.read.projection import Projection
from twofold.read.query import Page
from twofold.write.decider import Decider, Done

__all__ = [
    "App",
    "Running",
    "Decider",
    "Done",
    "Rejected",
    "Projection",
    "Page",
    "Reactor",
    "To",
    "Stored",
    "Recorded",
    "Stream",
    "Position",
    "Receipt",
    "TwofoldError",
    "ConfigurationError",
    "InvalidInput",
    "InvalidEvent",
    "InvalidToken",
    "InvalidCursor",
    "InvalidQuery",
    "VersionConflict",
    "OutcomeUnknown",
    "Unavailable",
    "LogReplaced",
    "ReadModelBehind",
    "RowParked",
    "RowUnreadable",
    "UndecodableEvent",
]
