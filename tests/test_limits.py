"""The limits in docs/reference.md are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from twofold import failures, messages
from twofold.backends.cosmos import part as cosmos
from twofold.backends.memory import log as memory
from twofold.backends.partitioned import runs
from twofold.backends.postgres import log as postgres
from twofold.backends.sqlite import log as sqlite
from twofold.backends.sqlite import watch
from twofold.codec import form, roundtrip
from twofold.feed import feed, follow, lease, parking_limit
from twofold.react import runner
from twofold.read import cache, conditions, cursor, definition, freshness, room, rounds
from twofold.web import idempotency
from twofold.web.live import client, encoding, subscription
from twofold.web.serving import uvicorn_server
from twofold.web.serving.limits import Limits
from twofold.write import execute, group_commit
from twofold.write import log as write_log

REFERENCE = (Path(__file__).parents[1] / "docs" / "reference.md").read_text("utf-8")
LIMITS = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", REFERENCE.split("\n## Limits\n")[1], re.MULTILINE))
KIB, MIB = 1024, 1024 * 1024
LEASE_S, BEATS, CALL_S = lease.LEASE_S, lease.BEATS_PER_LEASE, lease.CALL_SHARE * lease.LEASE_S
PAGE_BYTES = {module.PAGE_BYTES for module in (cosmos, memory, postgres, sqlite, runs)}


@pytest.mark.parametrize(
    ("begins", "values", "in_code"),
    [
        ("id of a stream", "1 to {} printable", [messages.MAX_ID_LENGTH]),
        ("one event", "{} MiB", [form.MAX_EVENT_BYTES / MIB]),
        (
            "one append",
            "{} MiB of JSON, and {} events",
            [write_log.MAX_APPEND_BYTES / MIB, write_log.MAX_APPEND_EVENTS],
        ),
        (
            "values in an event",
            "exponent beyond ±{}, no more than {} levels",
            [form.MAX_DECIMAL_PLACES, roundtrip.MAX_DEPTH],
        ),
        ("fields of a row", "{}", [definition.MAX_COLUMNS]),
        ("name of a field", "{} bytes", [definition.MAX_NAME_BYTES]),
        ("fields of a key", "{}", [definition.MAX_COLUMNS_TOGETHER]),
        ("indexes of a projection", "{}, ", [definition.MAX_INDEXES]),
        ("key of a row", "{} bytes", [definition.MAX_KEY_BYTES]),
        ("`limit` of `find`", "1 to {}", [conditions.MAX_LIMIT]),
        (
            "conditions of `find`",
            "{}, where each member of a `__contains` counts; {} values in one `__in`, {} in all of them; {} members",
            [conditions.MAX_CONDITIONS, conditions.MAX_VALUES, conditions.MAX_VALUES_TOGETHER, conditions.MAX_MEMBERS],
        ),
        ("cursor", "{} characters", [cursor.MAX_CURSOR_LENGTH]),
        ("`wait_s`", "default {} s, at most {} s", [freshness.DEFAULT_WAIT_S, freshness.MAX_WAIT_S]),
        ("what waits for one watcher", "{} KiB", [room.PENDING_BYTES / KIB]),
        ("age of the token of a watcher", "{} events", [rounds.FAR_EVENTS]),
        ("decisions of one `execute`", "{}, with pauses of up to {} s", [execute.MAX_ATTEMPTS, execute.MAX_PAUSE_S]),
        ("appends in one group commit", "{}, or {} MiB", [group_commit.MAX_BATCH, group_commit.MAX_BATCH_BYTES / MIB]),
        ("appends that wait", "{};", [group_commit.MAX_QUEUED]),
        (
            "page of the feed",
            "{} to {} positions, or {} MiB",
            [follow.SMALLEST_PAGE, feed.LARGEST_PAGE, max(PAGE_BYTES) / MIB],
        ),
        (
            "lease of a follower",
            "{} s, with a heartbeat every {} s; of a call of `catch_up` {} s, with one every {} s. "
            "A waiting worker or call looks every {} s",
            [LEASE_S, LEASE_S / BEATS, CALL_S, CALL_S / BEATS, lease.CLAIM_POLL_S],
        ),
        ("effects, and commands", "{}", [runner.COMMANDS_AT_ONCE]),
        (
            "tries of a reaction",
            "{}, with pauses of {} to {} s",
            [runner.MOST_TRIES, runner.PAUSES_S[0], runner.PAUSES_S[-1]],
        ),
        ("keys parked", "{};", [parking_limit.MOST_PARKED]),
        ("traceback", "last {} characters", [failures.MOST_TRACEBACK]),
        ("error text", "{} characters", [failures.MOST_ERROR]),
        ("HTTP: a response", "{} MiB", [idempotency.MAX_KEPT_BYTES / MIB]),
        ("live rows: rows in one event", "{} KiB", [encoding.FRAME_BYTES / KIB]),
        ("live rows: heartbeats", "every {} s", [subscription.CHECK_EVERY_S]),
        (
            "SQLite: noticing",
            "every {} ms, every {} ms while nothing",
            [watch.SHORTEST_PAUSE_S * 1000, watch.LONGEST_PAUSE_S * 1000],
        ),
        ("WebSocket", "{}; {} KiB", [client.MOST_SUBSCRIPTIONS, uvicorn_server.MESSAGE_BYTES / KIB]),
    ],
)
def test_a_limit_is_that_of_the_code(begins: str, values: str, in_code: list[float]) -> None:
    [said] = [limit for what, limit in LIMITS.items() if what.startswith(begins)]
    assert values.format(*(f"{value:,g}" for value in in_code)) in said


@pytest.mark.parametrize(
    ("begins", "default"),
    [
        ("commands in progress", "{0.commands:,}"),
        ("reads in progress", "{0.reads:,}"),
        ("streams of live rows", "{0.watchers:,}"),
        ("open connections", "{0.connections:,}"),
        ("a head that has begun", "{0.head_s:g} s"),
        ("a request until", "{0.request_s:g} s"),
        ("a response that", "{0.answer_s:g} s"),
    ],
)
def test_a_limit_of_the_load_is_that_of_the_code(begins: str, default: str) -> None:
    page = (Path(__file__).parents[1] / "docs" / "operating.md").read_text("utf-8")
    [said] = re.findall(rf"^\| {begins}[^|]* \| ([^|]+) \|", page, re.MULTILINE)
    assert said == default.format(Limits())


def test_what_performance_md_says_of_the_cache() -> None:
    said = (Path(__file__).parents[1] / "docs" / "performance.md").read_text("utf-8")
    each, together = cache.CACHE_BYTES / MIB, cache.ALL_CACHES_BYTES / MIB
    assert f"up to {each:g} MB for each projection and {together:g} MB for all of a process" in said


def test_pages_of_all_stores_are_as_large() -> None:
    assert len(PAGE_BYTES) == 1
    assert parking_limit.WITHIN_S == 60, "a minute"
