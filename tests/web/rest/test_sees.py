"""sees=: commands to a stream that does not exist for the actor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from twofold import App, ConfigurationError, Decider
from twofold.api import Actor, Api, logged_in

Serve = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Open:
    owner: str


@dataclass(frozen=True)
class Note:
    text: str


@dataclass(frozen=True)
class Opened:
    owner: str


@dataclass(frozen=True)
class Noted:
    text: str


def decide(command: Open | Note, owner: str) -> list[Opened | Noted]:
    return [Opened(command.owner) if isinstance(command, Open) else Noted(command.text)]


def evolve(owner: str, event: Opened | Noted) -> str:
    return event.owner if isinstance(event, Opened) else owner


@dataclass(frozen=True)
class Glue:
    picture: str


@dataclass(frozen=True)
class Glued:
    picture: str


def decide_album(command: Glue, pictures: int) -> list[Glued]:
    return [Glued(command.picture)]


def evolve_album(pictures: int, event: Glued) -> int:
    return pictures + 1


diaries = Decider("diary", "", decide, evolve)
albums = Decider("album", 0, decide_album, evolve_album)
DIARIES = App("diaries", deciders=[diaries, albums])


async def user_of(headers: Mapping[str, str]) -> Actor | None:
    return Actor(headers["x-user"]) if "x-user" in headers else None


def owns(actor: Actor | None, owner: str) -> bool:
    return actor is not None and actor.id == owner


def diaries_api(sees: Any = owns, *, etag: bool = True) -> Api:
    api = Api(DIARIES, actor=user_of, allow=logged_in, sees={diaries: sees})
    api.command(diaries, Open, "PUT /diaries/{id}", new=True, by="owner", etag=etag)
    api.command(diaries, Note, "POST /diaries/{id}/notes", exists=diaries)
    api.command(diaries, Note, "PUT /diaries/{id}/last", name="last")
    api.command(albums, Glue, "POST /diaries/{id}/pictures", exists=diaries)
    return api


ADA, EVE = {"X-User": "ada"}, {"X-User": "eve"}


@pytest.mark.parametrize("headers", [{}, {"If-Match": '"1"'}, {"If-Match": '"9"'}, {"Idempotency-Key": "k"}])
async def test_a_stream_of_another_is_like_one_that_is_unknown(serve: Serve, headers: dict[str, str]) -> None:
    site = await serve(diaries_api())
    assert (await site.client.put("/diaries/1", json={}, headers=ADA)).status_code == 200
    note = {"text": "mine"}
    foreign = await site.client.post("/diaries/1/notes", json=note, headers=EVE | headers)
    unknown = await site.client.post("/diaries/2/notes", json=note, headers=EVE | headers)
    assert foreign.status_code == 404
    assert foreign.text.replace("diaries/1", "diaries/2").replace("'1'", "'2'") == unknown.text
    assert (await site.client.put("/diaries/1/last", json=note, headers=EVE | headers)).status_code == 404
    if "If-Match" not in headers:
        glue = [await site.client.post("/diaries/1/pictures", json={"picture": "x"}, headers=who) for who in (EVE, ADA)]
        assert [one.status_code for one in glue] == [404, 200]
    assert (await site.running.load(diaries, "1"))[1] == 1
    assert (await site.client.post("/diaries/1/notes", json=note, headers=ADA)).json()["version"] == 2


async def test_each_of_two_streams_with_one_id_must_exist_for_the_actor(serve: Serve) -> None:
    """The one that has to exist, and the one that the command is for, whoever may see the other one."""
    hidden: set[Any] = set()
    sees = {each: (lambda actor, state, of=each: of not in hidden) for each in (diaries, albums)}
    api = Api(DIARIES, actor=user_of, allow=logged_in, sees=sees)
    api.command(diaries, Open, "PUT /diaries/{id}", new=True, by="owner")
    api.command(albums, Glue, "POST /diaries/{id}/pictures", exists=diaries)
    api.command(albums, Glue, "PUT /pictures/{id}", name="first", exists={"id": albums})
    site = await serve(api)
    assert (await site.client.put("/diaries/1", json={}, headers=ADA)).status_code == 200
    statuses = []
    for now in (set[Any](), {diaries}, {albums}, {diaries, albums}, set[Any]()):
        hidden.clear()
        hidden |= now
        sent = [("POST", "/diaries/1/pictures"), ("PUT", "/pictures/1")]
        done = [await site.client.request(*where, json={"picture": "x"}, headers=ADA) for where in sent]
        statuses.append([one.status_code for one in done])
    assert statuses == [[200, 200], [404, 200], [404, 404], [404, 404], [200, 200]]


async def test_one_that_does_not_exist_yet_may_begin(serve: Serve) -> None:
    site = await serve(diaries_api())
    assert (await site.client.put("/diaries/1/last", json={"text": "first"}, headers=EVE)).json()["version"] == 1


@pytest.mark.parametrize("etag", [True, False])
@pytest.mark.parametrize(("headers", "status"), [({}, 409), ({"If-None-Match": "*"}, 412)])
async def test_a_taken_id_does_not_tell_the_version_of_another(
    serve: Serve, headers: dict[str, str], status: int, etag: bool
) -> None:
    site = await serve(diaries_api(etag=etag))
    await site.client.put("/diaries/1", json={}, headers=ADA)
    taken = await site.client.put("/diaries/1", json={}, headers=EVE | headers)
    assert (taken.status_code, taken.json()["type"]) == (status, "version-conflict")
    assert taken.json()["detail"] == "There is a diary '1' already"
    assert not {"actual", "expected"} & taken.json().keys()
    assert (await site.client.put("/diaries/1", json={}, headers=ADA | headers)).json()["actual"] == 1


async def test_it_must_say_yes_or_no(serve: Serve) -> None:
    site = await serve(diaries_api(lambda actor, owner: owner))
    await site.client.put("/diaries/1", json={}, headers=ADA)
    assert (await site.client.post("/diaries/1/notes", json={"text": "x"}, headers=ADA)).status_code == 500


def test_it_takes_actor_and_state() -> None:
    with pytest.raises(ConfigurationError, match=r"sees of decider 'diary'.*must take 2 parameters"):
        diaries_api(lambda actor: True)
