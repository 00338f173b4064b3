import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest

import library
from library.tests.conftest import Lent, Users
from library.tests.tokens import KEY, token
from twofold import operate
from twofold.api import Api

FOLDER = Path(library.__file__).parent
ANYONE, LOGGED_IN, OWN, STAFF = "anyone", "logged in", "own", "staff"
MAY: dict[str, str] = {
    "POST /titles": STAFF,
    "PUT /titles/{id}": STAFF,
    "GET /titles/{title_id}": ANYONE,
    "GET /titles": ANYONE,
    "POST /titles/{id}/reservations": LOGGED_IN,
    "DELETE /titles/{title_id}/reservations/{member_id}": OWN,
    "GET /reservations": LOGGED_IN,
    "POST /copies": STAFF,
    "POST /copies/{id}/repairs": STAFF,
    "DELETE /copies/{id}/repairs": STAFF,
    "POST /copies/{id}/losses": STAFF,
    "POST /copies/{id}/withdrawals": STAFF,
    "GET /copies/{copy_id}": ANYONE,
    "GET /copies": ANYONE,
    "POST /loans": STAFF,
    "POST /copies/{id}/returns": STAFF,
    "POST /members/{member_id}/renewals": OWN,
    "GET /loans/{copy_id}/{number}": LOGGED_IN,
    "GET /loans": LOGGED_IN,
    "GET /members/{member_id}/loans": OWN,
    "GET /overdue": LOGGED_IN,
    "POST /members": STAFF,
    "PUT /members/{member_id}/email": OWN,
    "PUT /members/{id}/block": STAFF,
    "DELETE /members/{id}/block": STAFF,
    "POST /members/{id}/payments": STAFF,
    "POST /members/{id}/waivers": STAFF,
    "GET /members/{member_id}": OWN,
    "GET /members": LOGGED_IN,
    "GET /members/{member_id}/fines": OWN,
}
"""Who may use which address."""


def test_sixty_lines_of_http_serve_these_addresses(api: Api) -> None:
    assert [str(served.at) for served in api.served] == list(MAY)
    assert len(MAY) >= 25
    lines = [line.strip() for line in (FOLDER / "api.py").read_text().splitlines()]
    assert len([line for line in lines if line and not line.startswith("#")]) <= 60
    web = {path.name for path in FOLDER.glob("*.py") if re.search(r"twofold\.(api|web)", path.read_text())}
    assert web == {"api.py"}


async def test_every_address_is_of_use(api: Api, lent: Lent) -> None:
    users, ann = lent.users, lent.ann
    for at, body in {
        "POST /copies/{id}/repairs": {"damage": "wet"},
        "DELETE /copies/{id}/repairs": None,
        "POST /copies/{id}/losses": None,
    }.items():
        await users.done("sid", at, body, id="e-2")
    await users.done("sid", "PUT /titles/{id}", {"name": "Emma", "author": "Jane Austen"}, id=lent.emma)
    title = await users.done(ann, "GET /titles/{title_id}", title_id=lent.emma)
    assert (title["author"], title["copies"], title["available"]) == ("Jane Austen", 1, 0)
    await users.done(ann, "POST /members/{member_id}/renewals", {"copy_id": "e-1"}, member_id=ann)
    loan = await users.done(ann, "GET /loans/{copy_id}/{number}", copy_id="e-1", number=1)
    assert (loan["renewals"], loan["returned_on"]) == (1, None)
    [overdue] = (await users.done("sid", "GET /overdue", due__lt="9999-01-01"))["data"]
    assert overdue["member_id"] == ann

    await users.done("sid", "POST /copies/{id}/returns", {"on": "9999-01-01"}, id="e-1")
    await users.running.settled(timeout_s=20)
    account = await users.done(ann, "GET /members/{member_id}", member_id=ann)
    assert (account["name"], account["loans"]) == ("ann", 0)
    await users.done("sid", "POST /members/{id}/payments", {"amount": "1.50"}, id=ann)
    await users.done("sid", "POST /members/{id}/waivers", {"amount": 2, "reason": "kind"}, id=ann)
    fines = await users.done(ann, "GET /members/{member_id}/fines", member_id=ann)
    assert [entry["reason"] for entry in fines["data"]][1:] == ["paid", "waived: kind"]
    owed = await users.ask("sid", "POST /loans", {"copy_id": "e-1", "member_id": ann})
    assert (owed.status_code, owed.json()["type"]) == (422, "rejected")

    await users.done(ann, "PUT /members/{member_id}/email", {"email": "ann@example.org"}, member_id=ann)
    await users.done("sid", "PUT /members/{id}/block", {"reason": "rude"}, id=ann)
    [listed] = (await users.done(ann, "GET /members"))["data"]
    assert (listed["email"], listed["blocked"]) == ("ann@example.org", "rude")
    await users.done("sid", "DELETE /members/{id}/block", id=ann)
    [reserved] = (await users.done("sid", "GET /reservations"))["data"]
    assert (reserved["title_id"], reserved["member_id"]) == (lent.jaws, ann)
    cancel = "DELETE /titles/{title_id}/reservations/{member_id}"
    assert await users.done(ann, cancel, title_id=lent.jaws, member_id=ann) is not None
    assert (await users.done(ann, "GET /loans"))["data"][0]["returned_on"] == "9999-01-01"
    assert len((await users.done(ann, "GET /members/{member_id}/loans", member_id=ann))["data"]) == 1
    assert (await users.done(ann, "GET /titles", name__startswith="Ja"))["data"][0]["name"] == "Jaws"
    await users.done("sid", "POST /copies/{id}/withdrawals", {"reason": "old"}, id="e-1")
    copies = (await users.done(ann, "GET /copies", order_by="-copy_id"))["data"]
    assert [copy["status"] for copy in copies] == ["lost", "withdrawn"]
    assert (await users.done(ann, "GET /copies/{copy_id}", copy_id="e-1"))["version"] == 5
    assert users.asked == set(MAY)


def parameters(at: str, lent: Lent) -> dict[str, Any]:
    """Those of the path, for what is Ann's."""
    of_path = {"titles": lent.jaws, "copies": "e-1", "members": lent.ann}.get(at.split("/")[1])
    values = {"id": of_path, "title_id": lent.jaws, "member_id": lent.ann, "copy_id": "e-1", "number": 1}
    return {name: value for name, value in values.items() if f"{{{name}}}" in at}


async def test_who_may_use_which_address(lent: Lent) -> None:
    users, before = lent.users, await head(lent.users)
    nobody = {at: (await users.ask(None, at, None, **parameters(at, lent))).status_code for at in MAY}
    assert nobody == {at: 200 if may == ANYONE else 401 for at, may in MAY.items()}
    bob = {at: await users.ask(lent.bob, at, body_of(at), **parameters(at, lent)) for at in MAY if "{id}/res" not in at}
    refused = [at for at, answer in bob.items() if answer.status_code == 403]
    assert refused == [at for at, may in MAY.items() if may in (STAFF, OWN)]
    assert await head(users) == before
    assert bob["GET /loans/{copy_id}/{number}"].status_code == 404  # out of scope
    pages = ("GET /reservations", "GET /loans", "GET /overdue", "GET /members")
    assert [[row["member_id"] for row in bob[at].json()["data"]] for at in pages] == [[], [], [], [lent.bob]]
    for answer in bob.values():
        assert lent.ann not in answer.text.replace(answer.request.url.path, "")


def body_of(at: str) -> Any:
    """A body that would be accepted from staff."""
    return None if at.startswith("GET") else BODIES.get(at, {})


BODIES = {
    "POST /titles": {"name": "Ulysses", "author": "Joyce"},
    "PUT /titles/{id}": {"name": "Ulysses", "author": "Joyce"},
    "POST /copies": {"copy_id": "u-1", "title_id": "emma", "price": 3},
    "POST /copies/{id}/repairs": {"damage": "wet"},
    "POST /copies/{id}/withdrawals": {"reason": "old"},
    "POST /loans": {"copy_id": "e-2", "member_id": "bob"},
    "POST /copies/{id}/returns": {"on": "2026-03-01"},
    "POST /members/{member_id}/renewals": {"copy_id": "e-1"},
    "POST /members": {"name": "Cleo", "email": "cleo@example.com"},
    "PUT /members/{member_id}/email": {"email": "bob@example.com"},
    "PUT /members/{id}/block": {"reason": "rude"},
    "POST /members/{id}/payments": {"amount": 1},
    "POST /members/{id}/waivers": {"amount": 1, "reason": "kind"},
}


async def test_conditions_counts_and_cursors_show_nothing_of_others(lent: Lent) -> None:
    users, exact = lent.users, {"Prefer": "count=exact"}
    await users.running.settled(timeout_s=30)  # borrowing Emma ends a reservation of Emma
    await users.done(lent.ann, "POST /titles/{id}/reservations", {}, id=lent.emma)
    for conditions in ({}, {"member_id": lent.ann}, {"member_id__ne": lent.bob}, {"member_id__startswith": ""}):
        page = await users.ask(lent.bob, "GET /reservations", headers=exact, **conditions)
        assert (page.json()["data"], page.headers["Total-Count"]) == ([], "0")
    first = await users.ask(lent.ann, "GET /reservations", headers=exact, limit=1)
    assert (first.headers["Total-Count"], 'rel="next"' in first.headers["Link"]) == ("2", True)
    cursor = first.json()["next_cursor"]
    second = await users.done(lent.ann, "GET /reservations", limit=1, cursor=cursor)
    assert [row["title_id"] for row in second["data"]] == [lent.emma]
    for other in (lent.bob, "sid"):
        refused = await users.ask(other, "GET /reservations", limit=1, cursor=cursor)
        assert (refused.status_code, refused.json()["type"]) == (400, "invalid-cursor")


@pytest.mark.parametrize(
    ("at", "body", "status", "says"),
    [
        ("POST /copies", {"copy_id": "u-1", "title_id": "nope", "price": 3}, 422, "no title 'nope'"),
        ("POST /copies", {"copy_id": "u-1", "title_id": "nope", "price": -3}, 422, "/price"),
        ("POST /copies", {"copy_id": "u-1", "title_id": "nope", "price": "0.001"}, 422, "/price"),
        ("POST /copies", {"copy_id": "", "title_id": "nope", "price": 3}, 422, "copy_id must be"),
        ("POST /loans", {"copy_id": "nope", "member_id": "ann"}, 404, "no copy 'nope'"),
        ("POST /loans", {"copy_id": "e-2", "member_id": "nope"}, 404, "no member 'nope'"),
        ("POST /loans", {"copy_id": "e-2"}, 422, "/member_id"),
        ("POST /members", {"name": "Cleo", "email": "cleo"}, 422, "'cleo' is not an e-mail address"),
        ("POST /members", {"name": "Cleo", "email": "c@x.org", "role": "staff"}, 422, "/role"),
        ("POST /titles/{id}/reservations", {"member_id": "ann"}, 422, "/member_id"),
        ("PUT /members/{id}/block", {"reason": "rude"}, 404, "no member"),
        ("POST /copies/{id}/returns", {"on": "soon"}, 422, "/on"),
    ],
)
async def test_wrong_input_changes_nothing(at: str, body: Any, status: int, says: str, lent: Lent) -> None:
    before = await head(lent.users)
    body = {**body, "member_id": lent.ann} if body.get("copy_id") == "nope" else body
    of_path: dict[str, Any] = {"id": "e-1" if "copies" in at else lent.jaws} if "{id}" in at else {}
    answer = await lent.users.ask("sid", at, body, **of_path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert says in answer.json()["detail"]
    assert await head(lent.users) == before


async def head(users: Users) -> object:
    """The position of the last event."""
    return (await operate.status(users.running))[0].head


async def test_nobody_reserves_for_another(lent: Lent) -> None:
    refused = await lent.users.ask(lent.bob, "POST /titles/{id}/reservations", {"member_id": lent.ann}, id=lent.emma)
    [error] = refused.json()["errors"]
    assert error["message"] == "The address or the login gives this field: leave it out of the body"


async def test_a_reserved_title_is_lent_to_the_first_who_waits(lent: Lent) -> None:
    users = lent.users
    await users.done(lent.bob, "POST /titles/{id}/reservations", {}, id=lent.emma)
    refused = await users.ask("sid", "POST /loans", {"copy_id": "e-2", "member_id": lent.ann})
    assert refused.json()["detail"] == "Someone else has reserved the title"
    renewal = {"copy_id": "e-1"}
    renewed = await users.ask(lent.ann, "POST /members/{member_id}/renewals", renewal, member_id=lent.ann)
    assert renewed.json()["detail"] == "Someone else has reserved the title"
    await users.done("sid", "POST /loans", {"copy_id": "e-2", "member_id": lent.bob})
    await users.running.settled(timeout_s=20)
    assert (await users.done(lent.bob, "GET /reservations"))["data"] == []


async def test_changes_depend_on_the_version_that_was_seen(lent: Lent) -> None:
    users = lent.users
    seen = (await users.ask("sid", "GET /copies/{copy_id}", copy_id="e-2")).headers["ETag"]
    repair = {"damage": "wet"}
    for status in (200, 412):
        answer = await users.ask("sid", "POST /copies/{id}/repairs", repair, {"If-Match": seen}, id="e-2")
        assert answer.status_code == status
    copy = {"copy_id": "e-2", "title_id": lent.emma, "price": 3}
    assert (await users.ask("sid", "POST /copies", copy)).status_code == 409
    assert (await users.ask("sid", "POST /copies", copy, {"If-None-Match": "*"})).status_code == 412
    added = [
        await users.ask("sid", "POST /titles", {"name": "Ulysses", "author": "Joyce"}, {"Idempotency-Key": "one"})
        for _ in range(2)
    ]
    assert added[0].json() == added[1].json()


async def test_a_key_belongs_to_who_sent_it(lent: Lent) -> None:
    key = {"Idempotency-Key": "one"}
    reserved = [
        (await lent.users.ask(who, "POST /titles/{id}/reservations", {}, key, id=lent.emma)).json()["events"]
        for who in (lent.ann, lent.bob, lent.ann)
    ]
    assert [[event["data"]["member_id"] for event in events] for events in reserved] == [
        [lent.ann],
        [lent.bob],
        [lent.ann],
    ]


async def test_what_is_no_login(users: Users) -> None:
    unsigned = jwt.encode({"sub": "sid", "role": "staff", "aud": "library", "exp": 4_000_000_000}, "", "none")
    for text in (
        token("sid", "staff", lasts_s=-1),
        token("sid", "staff", audience="cinema"),
        token("sid", "staff", key="another secret, which is long enough"),
        unsigned,
    ):
        answer = await users.http.get("/members", headers={"Authorization": f"Bearer {text}"})
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')


async def test_pages_of_one_origin_may_use_it(users: Users) -> None:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    for origin, allowed in (("https://library.example", True), ("https://evil.example", False)):
        preflight = await users.http.options("/titles", headers={"Origin": origin, **asks})
        refused = await users.http.get("/members", headers={"Origin": origin})
        assert refused.status_code == 401
        for answer in (preflight, refused):
            assert (answer.headers.get("Access-Control-Allow-Origin") == origin) is allowed


def test_it_is_served(tmp_path: Path) -> None:
    command: list[str | Path] = [Path(sys.executable).with_name("twofold"), "serve", "library.api:api", "--port", "0"]
    with subprocess.Popen(
        [*command, "--store", f"sqlite:///{tmp_path / 'library.db'}"],
        cwd=FOLDER.parent,
        env={**os.environ, "LIBRARY_KEY": KEY},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            url = process.stderr.readline().removeprefix("library: ").strip()
            staff = {"Authorization": f"Bearer {token('sid', 'staff')}"}
            added = httpx2.post(f"{url}/titles", json={"name": "Emma", "author": "Austen"}, headers=staff)
            read = {"Consistency-Token": added.headers["Consistency-Token"]}
            assert httpx2.get(f"{url}/titles/{added.json()['id']}", headers=read).json()["name"] == "Emma"
            process.terminate()
            process.communicate(timeout=30)
            assert process.returncode == 0
        finally:
            process.kill()
