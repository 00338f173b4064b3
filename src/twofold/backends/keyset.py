"""The rows behind a place in an order: where the next page of `find` begins. Each store renders the terms itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from twofold.read.columns import Values


class Term(NamedTuple):
    """One column against a value that is not None; or `null`, `not_null`. `lt_or_null`: None is the smallest value."""

    column: str
    how: Literal["eq", "lt", "le", "gt", "ge", "lt_or_null", "null", "not_null"]
    value: Any = None


class Behind(NamedTuple):
    """`bound`, where there is one, and one of the alternatives, whose terms all hold. None of them: no row."""

    bound: Term | None
    alternatives: Sequence[Sequence[Term]]

    def sql(self, render: Callable[[Term], str]) -> str:
        """As SQL; terms are rendered in the order in which they stand in it."""
        bound = [] if self.bound is None else [render(self.bound)]
        found = [f"({' AND '.join([render(term) for term in terms])})" for terms in self.alternatives]
        return " AND ".join([*bound, f"({' OR '.join(found)})" if found else "FALSE"])


def behind(order: Sequence[tuple[str, bool]], after: Values, nullable: Mapping[str, bool]) -> Behind:
    """Rows that come after these values: further in one column, equal in all before it.

    The first column's own bound stands alone once more, so that an index can begin there.
    """
    alternatives: list[list[Term]] = []
    equal: list[Term] = []
    for (name, descending), value in zip(order, after, strict=True):
        further = _further(name, value, descending=descending, nullable=nullable[name])
        if further is not None:
            alternatives.append([*equal, further])
        equal.append(Term(name, "null") if value is None else Term(name, "eq", value))
    first, descending = order[0]
    bound = None if nullable[first] else Term(first, "le" if descending else "ge", after[0])
    return Behind(bound, alternatives)


def _further(name: str, value: Any, *, descending: bool, nullable: bool) -> Term | None:
    if value is None:
        return None if descending else Term(name, "not_null")
    if not descending:
        return Term(name, "gt", value)
    return Term(name, "lt_or_null" if nullable else "lt", value)
