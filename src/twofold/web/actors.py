"""Actors: who sends a request. Does not import FastAPI."""


def nobody(request: object) -> None:
    """The `actor=` of an App without users: all clients share their idempotency keys."""
