"""Step numbers of commands and new ids stay the same when a request runs again."""

import asyncio
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from twofold import InvalidInput, OutcomeUnknown, Rejected, Stream, Unavailable, VersionConflict
from twofold.web.commands import Asked
from twofold.web.steps import NotRepeatable, Steps, request_id


class Calls:
    """Notes with which id each SQL command is called."""

    def __init__(self) -> None:
        self.ids: list[tuple[str, str]] = []

    async def call(self, command: Any, value: Any, *, command_id: str, **_: Any) -> None:
        self.ids.append((command.name, command_id))


ID = request_id("ann", "POST", "/orders", "k1")
CONFLICT = VersionConflict(Stream("order", "1"), 1, 2)


def commanded(steps: Steps, *streams: str) -> list[str]:
    ids = []
    for stream in streams:
        with steps.command(stream) as command_id:
            ids.append(command_id)
    return ids


def failed(steps: Steps, stream: str, error: BaseException) -> str:
    with pytest.raises(type(error)), steps.command(stream) as command_id:
        raise error
    return command_id


def test_the_first_command_to_a_stream_has_the_id_of_the_request() -> None:
    assert commanded(Steps(ID), "order-1", "stock-2") == [ID, ID]


def test_each_command_to_a_stream_has_an_id_of_its_own() -> None:
    ids = commanded(Steps(ID), "order-1", "stock-2", "order-1", "order-1")
    assert len(set(ids)) == 3
    assert commanded(Steps(ID), "order-1", "order-1", "order-1") == [ids[0], ids[2], ids[3]]
    assert ids[2] not in commanded(Steps(request_id("bob", "POST", "/orders", "k1")), "order-1", "order-1")


def test_commands_under_way_at_once_have_their_own() -> None:
    steps = Steps(ID)
    with steps.command("order-1") as first, steps.command("order-1") as second:
        assert [first, second] == commanded(Steps(ID), "order-1", "order-1")


@pytest.mark.parametrize("error", [CONFLICT, Unavailable("disk"), OutcomeUnknown("c", "disk")])
def test_a_command_that_is_tried_again_keeps_its_id(error: Exception) -> None:
    """Otherwise a repeated request, now without a conflict, would do it a second time."""
    steps = Steps(ID)
    assert [failed(steps, "order-1", error), *commanded(steps, "order-1", "order-1")] == [
        ID,
        *commanded(Steps(ID), "order-1", "order-1"),
    ]


def test_a_command_that_is_tried_again_beside_others_under_way_has_its_own_id_again() -> None:
    """Whichever of them failed, and whether the others have ended meanwhile."""
    first, second, third = commanded(Steps(ID), *["order-1"] * 3)
    for fails, others_end in product(range(3), (True, False)):
        steps = Steps(ID)
        under_way = [steps.command("order-1") for _ in range(3)]
        assert [each.__enter__() for each in under_way] == [first, second, third]
        failing = under_way.pop(fails)
        assert not failing.__exit__(VersionConflict, CONFLICT, None)
        for each in under_way if others_end else ():
            each.__exit__(None, None, None)
        assert commanded(steps, "order-1") == [(first, second, third)[fails]]


def test_after_a_refusal_comes_another_command() -> None:
    steps = Steps(ID)
    failed(steps, "order-1", Rejected("sold out"))
    assert commanded(steps, "order-1") == commanded(Steps(ID), "order-1", "order-1")[1:]


def test_new_ids_differ_and_come_again() -> None:
    steps, again = Steps(ID), Steps(ID)
    made = [steps.new_id() for _ in range(3)]
    assert made[0] == ID[:32]
    assert (len(set(made)), {len(one) for one in made}) == (3, {32})
    assert [again.new_id() for _ in range(3)] == made


def test_what_was_asked_is_known_once_something_may_have_changed() -> None:
    steps = Steps(ID)
    for error in (CONFLICT, Unavailable("disk"), Rejected("no"), InvalidInput("no")):
        failed(steps, "order-1", error)
    assert steps.asked == []
    commanded(steps, "stock-2")
    assert steps.asked == ["order-1", "stock-2"]


@pytest.mark.parametrize("error", [OutcomeUnknown("c", "disk"), ZeroDivisionError(), asyncio.CancelledError()])
def test_whoever_fails_in_doubt_may_have_changed_something(error: BaseException) -> None:
    steps = Steps(ID)
    failed(steps, "order-1", error)
    assert steps.asked == ["order-1"]


def test_what_is_under_way_may_have_changed_something() -> None:
    steps = Steps(ID)
    with steps.command("order-1"):
        assert steps.asked == ["order-1"]


def test_a_run_that_asks_others_than_before_is_stopped() -> None:
    steps = Steps(ID, frozenset({"order-1", "stock-2"}))
    commanded(steps, "order-1")
    with (
        pytest.raises(NotRepeatable, match=r"commands to stock-2; .* sends one to order-9 instead"),
        steps.command("order-9"),
    ):
        raise AssertionError("not reached")
    assert steps.asked == ["order-1", "stock-2"]


def test_what_an_earlier_run_asked_stays_known_however_a_later_one_ends() -> None:
    """A third run is still compared with the first one."""
    for error in (None, CONFLICT, Unavailable("disk"), Rejected("no"), OutcomeUnknown("c", "disk")):
        steps = Steps(ID, frozenset({"order-1", "stock-2"}))
        if error is not None:
            failed(steps, "order-1", error)
        assert steps.asked == ["order-1", "stock-2"]


def test_a_run_goes_on_where_the_one_before_ended() -> None:
    for streams in (["order-1", "stock-2", "bill-3"], ["stock-2", "order-1", "bill-3"], ["order-1"]):
        commanded(Steps(ID, frozenset({"order-1", "stock-2"})), *streams)


def test_the_scope_is_actor_method_path_and_key() -> None:
    scopes = [
        ("ann", "POST", "/a", "k"),
        (None, "POST", "/a", "k"),
        ("ann", "PUT", "/a", "k"),
        ("annPOST", "", "/a", "k"),
    ]
    assert len({request_id(*scope) for scope in scopes}) == len(scopes)
    # Must never change: stored commands have this id.
    assert request_id(*scopes[0]) == "9f7124475c5474376a025ba60700b0ab6ece227f4ade350674934360834e5b04"


async def test_sql_commands_of_one_request_have_ids_of_their_own_and_the_same_when_it_runs_again() -> None:
    """A repeated id returns the first result, whatever the command is. Nor is one that of a decider's command."""
    rounds = []
    for _ in range(2):
        running: Any = Calls()
        unused: Any = None
        asked = Asked(unused, running, unused, None, None, Steps(ID))
        for name in ("pay", "ship", "pay"):
            command: Any = SimpleNamespace(name=name)
            await asked.call(command, None)
        rounds.append(running.ids)
    assert len({id_ for _, id_ in rounds[0]} | {ID}) == 4
    assert rounds[0] == rounds[1]
