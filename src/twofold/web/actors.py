"""Who sends a request. Needs no FastAPI."""


def nobody(request: object) -> None:
    """The `actor=` of an App without users: whoever sends a key shares it with everybody."""
