"""Whether tests run against a server."""


def is_live() -> bool:
    """They always do; the tests themselves replace the answer's cache."""
    return True
