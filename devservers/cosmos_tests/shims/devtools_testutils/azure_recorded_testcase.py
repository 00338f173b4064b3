"""Credentials of Azure: none."""


def get_credential(is_async: bool = False) -> None:
    """No credential: the tests use the account's key."""
