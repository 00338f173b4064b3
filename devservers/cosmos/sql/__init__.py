from typing import Any


def select(body: dict[str, Any], documents: list[dict[str, Any]]) -> list[Any]:
    return documents
