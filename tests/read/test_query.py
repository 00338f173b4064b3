"""Queries of a running App."""

from dataclasses import dataclass, replace

from twofold import App, Decider, Projection, Recorded


@dataclass(frozen=True)
class Granted:
    scope: str


@dataclass(frozen=True)
class Grant:
    id: str
    scope: str = ""


def decide(command: Granted, state: int) -> list[Granted]:
    return [command]


def fold(state: int, event: Granted) -> int:
    return state + 1


def evolve(row: Grant, event: Granted, recorded: Recorded) -> Grant:
    return replace(row, scope=event.scope)


grants = Projection("grant", Grant, evolve)
app = App("grants", deciders=[Decider("grant", 0, decide, fold)], projections=[grants])


async def test_a_field_called_scope_is_a_condition_like_any_other() -> None:
    """Users of `find` have had such fields before there was a scope, which is for edges."""
    async with app.open("memory:") as running:
        for id_, scope in (("a", "read"), ("b", "write"), ("c", "read")):
            done = await running.execute(app.deciders[0], id_, Granted(scope))
        assert [row.id for row in await running.find(grants, scope="read", after=done.receipt)] == ["a", "c"]
        assert await running.count(grants, scope="read", id__ne="a") == 1
        page = await running.queries.find(grants, {"scope": "read"}, scope={"id__in": ["b", "c"]})
        assert [row.id for row in page] == ["c"]
        assert await running.queries.get(grants, "a", scope={"scope": "write"}) is None
