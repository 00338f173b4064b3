"""What is hit when: the same seed gives the same plan, with enough of every fault."""

from itertools import islice

import pytest

from torture.aim import Strike
from torture.chaos import TO_DIE, Blow, plan
from torture.crew import AIM_S
from torture.ground import Fault
from torture.mutations import MUTATIONS
from twofold.feed.lease import LEASE_S

FAULTS: tuple[Fault, ...] = ("kill the server", "restart the server", "kill a session", "cut connections")


def blows(seed: str, faults: tuple[Fault, ...], minutes: float) -> list[Blow]:
    """The faults of this much time, if each aimed one waits as long as possible."""
    found: list[Blow] = []
    left_s = minutes * 60
    for blow in plan(seed, faults):
        left_s -= blow.after_s + (AIM_S if isinstance(blow.what, Strike) and blow.what.place else 0)
        if left_s < 0:
            return found
        found.append(blow)
    raise AssertionError("the plan has an end")


def test_the_same_seed_makes_the_same_plan() -> None:
    once, again, other = (list(islice(plan(seed, FAULTS), 200)) for seed in ("a", "a", "b"))
    assert once == again
    assert once != other


@pytest.mark.parametrize("faults", [(), FAULTS])
@pytest.mark.parametrize("seed", ["a", "b", "c"])
def test_ten_minutes_hold_more_than_a_hundred_kills(seed: str, faults: tuple[Fault, ...]) -> None:
    planned = blows(seed, faults, minutes=10)
    strikes = [blow.what for blow in planned if isinstance(blow.what, Strike)]
    assert sum(strike.signal == "SIGKILL" for strike in strikes) > 100
    assert {strike.place for strike in strikes} >= set(TO_DIE["worker"]) | set(TO_DIE["appender"]) | {""}
    assert {blow.role for blow in planned} == {"worker", "appender", "reader", "mender"}
    assert {blow.what for blow in planned if not isinstance(blow.what, Strike)} == set(faults)


def test_paused_workers_lose_their_lease() -> None:
    paused = [
        b.what for b in blows("a", (), 10) if isinstance(b.what, Strike) and b.role == "worker" and b.what.pause_s
    ]
    assert paused
    assert all(strike.pause_s > LEASE_S for strike in paused)


@pytest.mark.parametrize("name", MUTATIONS)
def test_what_is_broken_is_hit_where_it_shows(name: str) -> None:
    planned = [blow.what for blow in islice(plan("a", (), name), 100)]
    assert planned.count(MUTATIONS[name].strike) > 30
