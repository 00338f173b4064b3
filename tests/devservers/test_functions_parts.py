"""What a Functions host decides without any I/O: routes, retries, settings, shares of leases, what is run."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devservers.functions import retries
from devservers.functions.balance import Gaps, Sightings, gaps, wanted
from devservers.functions.errors import Misconfigured, NotRun
from devservers.functions.feed import Range
from devservers.functions.functions import understood
from devservers.functions.leases import Lease
from devservers.functions.log import Log
from devservers.functions.options import trigger_options
from devservers.functions.retries import Retry
from devservers.functions.routes import parsed
from devservers.functions.settings import HostFile, read_host_file, read_settings


@pytest.mark.parametrize(
    ("template", "path", "parameters"),
    [
        ("orders", "orders", {}),
        ("orders", "ORDERS", {}),
        ("orders", "orders/1", None),
        ("orders/{id}/projection", "orders/1/projection", {"id": "1"}),
        ("orders/{id}/projection", "orders//projection", None),
        ("orders/{id}", "orders", None),
        ("orders/{id?}", "orders", {}),
        ("orders/{id=7}", "orders", {"id": "7"}),
        ("orders/{id=7}", "orders/8", {"id": "8"}),
        ("files/{*rest}", "files/a/b", {"rest": "a/b"}),
        ("files/{*rest}", "files", {}),
        ("files/{name}.{kind}", "files/a.b.txt", {"name": "a", "kind": "b.txt"}),
        ("{id:int}", "-7", {"id": "-7"}),
        ("{id:int}", "x", None),
        ("{id:int?}", "", {}),
        ("{id:guid}", "9826588a-9831-49d1-99b0-e492f7f62a68", {"id": "9826588a-9831-49d1-99b0-e492f7f62a68"}),
        ("{id:alpha:maxlength(3)}", "abc", {"id": "abc"}),
        ("{id:alpha:maxlength(3)}", "abcd", None),
        ("{id:length(2)}", "ab", {"id": "ab"}),
        ("{id:length(2,3)}", "a", None),
        ("{id:range(1,9)}", "9", {"id": "9"}),
        ("{id:range(1,9)}", "10", None),
        ("{id:min(3)}", "x", None),
        ("a.b", "axb", None),
        ("", "", {}),
    ],
)
def test_routes(template: str, path: str, parameters: dict[str, str] | None) -> None:
    assert parsed(template).match(path) == parameters


@pytest.mark.parametrize("template", ["{id", "a}", "{id:odd}", "{id:range(1)}", "{id:range(a,b)}", "{a:regex(^x$)}"])
def test_routes_that_are_not_understood(template: str) -> None:
    with pytest.raises(NotRun, match="its route has"):
        parsed(template)


def test_the_best_route_comes_first() -> None:
    templates = ["{*all}", "a/{x}", "a/{x:int}", "a/b", "a/{*rest}", "a/b/{x}"]
    ranked = sorted(templates, key=lambda template: parsed(template).rank)
    assert ranked == ["a/b", "a/b/{x}", "a/{x:int}", "a/{x}", "a/{*rest}", "{*all}"]


def test_delays_of_retry_policies() -> None:
    fixed, growing = Retry(2, 5.0, 5.0), Retry(retries.FOR_EVER, 1.0, 10.0)
    assert [fixed.delay_s(failures) for failures in (1, 2, 3)] == [5.0, 5.0, None]
    assert [growing.delay_s(failures) for failures in (1, 2, 3, 4, 5, 5_000)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


@pytest.mark.parametrize(
    ("options", "retry"),
    [
        ({}, None),
        ({"max_retry_count": 3, "retry_strategy": "fixed_delay", "delay_interval": "5s"}, Retry(3, 5.0, 5.0)),
        ({"max_retry_count": -1, "minimum_interval": "2s", "maximum_interval": "60s"}, Retry(-1, 2.0, 60.0)),
        ({"max_retry_count": 1, "maximum_interval": "2147483647s"}, Retry(1, 0.0, retries.LONGEST_S)),
    ],
)
def test_retry_policies_of_functions(options: Mapping[str, Any], retry: Retry | None) -> None:
    assert retries.of_function(options) == retry


def test_a_retry_policy_of_the_host_is_for_functions_without_one() -> None:
    policy = {
        "strategy": "exponentialBackoff",
        "maxRetryCount": 4,
        "minimumInterval": "00:00:01",
        "maximumInterval": "00:01:00",
    }
    assert retries.of_host(policy) == Retry(4, 1.0, 60.0)
    with pytest.raises(Misconfigured, match=r"retry in host\.json is not a policy"):
        retries.of_host({"strategy": "fixedDelay", "maxRetryCount": 4, "delayInterval": "soon"})


def test_settings_are_resolved_and_a_missing_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text('\ufeff{"Values": {"A": "1", "B": "2"}}', "utf-8")
    settings = read_settings(tmp_path, {"B": "3"})
    assert settings.resolved("%A%-%B%-100% of %A%") == "1-3-100% of 1"
    with pytest.raises(Misconfigured, match="the app setting C is missing"):
        settings.resolved("%C%")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("host.json", "{", "cannot be read"),
        ("host.json", "[]", "must hold a JSON object"),
        ("host.json", '{"version": "1.0"}', '"version" must be "2.0"'),
        ("local.settings.json", '{"Values": {"A": 1}}', "must be strings: A"),
        ("local.settings.json", '{"IsEncrypted": true, "Values": {"A": "x"}}', "is encrypted"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(Misconfigured, match=words):
        read_host_file(tmp_path) if name == "host.json" else read_settings(tmp_path, {})


def test_what_counts_of_host_json(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{"version": "2.0", "extensions": {"http": {"routePrefix": ""}}}')
    assert read_host_file(tmp_path) == HostFile("", None, {})
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    assert read_host_file(tmp_path) == HostFile("api", None, {})


def leases(owners: str) -> list[Lease]:
    """A lease for each letter, which is its owner; a dot is nobody."""
    return [Lease(Range(str(n), str(n + 1), str(n)), owner=None if one == "." else one) for n, one in enumerate(owners)]


@pytest.mark.parametrize(
    ("owners", "expired", "taken"),
    [
        ("....", "", "0123"),  # alone it takes all
        ("b...", "", "12"),  # of two hosts each gets half
        ("bbbb", "", "0"),  # one at a time from the richest
        ("bbcc", "", "0"),
        ("bbba", "", "0"),
        ("bba", "", ""),  # a lease more is no reason to take it
        ("bbaa", "", ""),
        ("bbaa", "b", "01"),  # the dead host's
        ("bbaaccc", "b", "01"),
        ("a", "", ""),
        ("b", "", ""),
        ("", "", ""),
    ],
)
def test_the_share_of_a_host(owners: str, expired: str, taken: str) -> None:
    every = leases(owners)
    free = [one for one in every if one.owner is None or one.owner in expired]
    assert "".join(one.range.id for one in wanted("a", every, free)) == taken


def test_hosts_that_take_their_shares_come_to_rest() -> None:
    every = leases("........")
    for _ in range(20):
        for host in "abc":
            for one in wanted(host, every, [lease for lease in every if lease.owner is None]):
                every[int(one.range.id)] = Lease(one.range, owner=host)
    assert sorted([[one.owner for one in every].count(host) for host in "abc"]) == [2, 3, 3]


def test_a_lease_expires_when_it_has_not_changed_for_long_on_our_own_clock() -> None:
    sightings = Sightings(5.0)
    old, new = Lease(Range("", "FF", "0"), owner="b", etag="1"), Lease(Range("", "FF", "0"), owner="b", etag="2")
    assert sightings.free([old], 100.0) == []
    assert sightings.free([old], 104.9) == []
    assert sightings.free([new], 105.0) == []
    assert sightings.free([new], 109.9) == []
    assert sightings.free([new], 110.0) == [new]


def of(begin: str, end: str) -> Lease:
    return Lease(Range(begin, end, "7"))


@pytest.mark.parametrize(
    ("there", "left"),
    [
        ([], [("", "FF")]),
        ([of("", "FF")], []),
        ([of("3F", "7F"), of("BF", "FF")], [("", "3F"), ("7F", "BF")]),
        ([of("", "7F"), of("", "3F"), of("3F", "7F")], [("7F", "FF")]),
    ],
)
def test_what_no_lease_is_for(there: list[Lease], left: list[tuple[str, str]]) -> None:
    assert [gap.key for gap in gaps(there)] == left


def test_a_lease_that_is_missing_is_made_anew_when_its_holder_must_have_noticed() -> None:
    missing, whole = Gaps(5.0), [of("", "7F"), of("7F", "FF")]
    assert missing.lasting(whole[1:], 100.0) == []
    assert missing.lasting(whole, 104.0) == []  # it was overlooked
    assert missing.lasting(whole[1:], 105.0) == []
    assert missing.lasting(whole[1:], 109.9) == []
    assert [gap.key for gap in missing.lasting(whole[1:], 110.0)] == [("", "7F")]


def metadata(*bindings: Mapping[str, Any]) -> dict[str, Any]:
    return {"function_id": "1", "name": "f", "raw_bindings": [json.dumps(one) for one in bindings]}


HTTP = {"type": "httpTrigger", "direction": "IN", "name": "req"}
COSMOS = {"type": "cosmosDB", "name": "docs"}


@pytest.mark.parametrize(
    ("bindings", "why"),
    [
        ([{"type": "queueTrigger", "direction": "IN", "name": "m"}], "this host has no queueTrigger binding"),
        ([HTTP, {**COSMOS, "direction": "IN"}], "this host has no cosmosDB binding"),
        ([HTTP, {"type": "queue", "direction": "OUT", "name": "m"}], "this host has no queue binding"),
        ([], "it has 0 triggers"),
    ],
)
def test_functions_that_are_not_run(bindings: list[Mapping[str, Any]], why: str) -> None:
    with pytest.raises(NotRun, match=why):
        understood(metadata(*bindings))


def test_options_of_a_trigger() -> None:
    values = {
        "connection": "C",
        "databaseName": "d",
        "containerName": "c",
        "feedPollDelay": 250,
        "leaseDatabaseName": "l",
    }
    options = trigger_options({**values, "startFromTime": "2026-11-29T18:00:00Z"})
    assert (options.leases.database, options.leases.container, options.poll_s) == ("l", "leases", 0.25)
    assert options.start == datetime(2026, 11, 29, 18, tzinfo=UTC)
    assert trigger_options(values).start == "Now"
    assert trigger_options({**values, "startFromBeginning": True}).start == "Beginning"
    for wrong in ("yesterday", "2026-11-29T18:00:00"):
        with pytest.raises(NotRun, match="startFromTime"):
            trigger_options({**values, "startFromTime": wrong})
    with pytest.raises(NotRun, match="its trigger has no connection, databaseName"):
        trigger_options({"containerName": "c"})


def test_levels_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log({"default": "Warning", "Function": "Information", "Function.loud": "Debug"})
    for function in ("host", "usual", "loud"):
        for level in ("Debug", "Information", "Warning"):
            log.write(level, f"{function} {level}", function)
    said = [line.rpartition("] ")[2] for line in capsys.readouterr().err.splitlines()]
    assert said == [
        "host Warning",
        "usual Information",
        "usual Warning",
        "loud Debug",
        "loud Information",
        "loud Warning",
    ]
