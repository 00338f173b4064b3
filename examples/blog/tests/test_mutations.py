"""Every mutation, and every code and message with which it is refused."""

import asyncio
from uuid import uuid4

import pytest

from blog.tests.conftest import CONTENT, SIGN_UP, WRITE, Blog

pytestmark = pytest.mark.slow  # a PostgreSQL

APPROVE = "mutation($id: ID!) { approvePost(id: $id) { id status } }"
PUBLISH = "mutation($id: ID!) { publishPost(id: $id) { id status publishedAt author { name } } }"
DELETE = "mutation($id: ID!) { deletePost(postId: $id) }"
VIEW = "mutation($id: ID!) { viewPost(postId: $id) }"

NOBODY = "AUTH_REQUIRED", "Authentication required"
NOT_FOUND = "NOT_FOUND", "Post not found"
NOT_YOURS = "FORBIDDEN", "Not authorized"


async def test_a_user_is_created_without_a_login_and_read_from_the_read_model(blog: Blog) -> None:
    fields = "{ id name email postCount createdAt posts { id } }"
    made = await blog.stranger.ask(f'mutation {{ createUser(name: "Zoë", email: "Zoe@Example.org") {fields} }}')
    user = made["createUser"]
    assert (user["name"], user["email"], user["postCount"], user["posts"]) == ("Zoë", "Zoe@Example.org", 0, [])
    assert (await blog.stranger.ask(f"query($id: ID!) {{ user(id: $id) {fields} }}", id=user["id"]))["user"] == user
    again = {"name": "Other", "email": "zoe@example.ORG"}
    assert await blog.stranger.refused(SIGN_UP, **again) == ("DUPLICATE_EMAIL", "Email already in use")


async def test_a_user_that_cannot_be(blog: Blog) -> None:
    for name, email in (("", "a@example.com"), ("A", "nowhere"), ("A", "a@b c"), ("x" * 201, "a@example.com")):
        failed = "CREATE_FAILED", "Failed to create user"
        assert await blog.stranger.refused(SIGN_UP, name=name, email=email) == failed
    assert await blog.sql.fetchval("SELECT (SELECT count(*) FROM tb_user) + (SELECT count(*) FROM twofold.events)") == 0


async def test_the_way_of_a_post(blog: Blog) -> None:
    ann = await blog.sign_up("Ann")
    given = {"title": "Tea", "content": CONTENT, "tags": ["drinks", "warm"]}
    fields = "{ id title content tags status viewCount publishedAt author { id name postCount } }"
    made = (await ann.ask(f"mutation($p: CreatePostInput!) {{ createPost(input: $p) {fields} }}", p=given))[
        "createPost"
    ]
    post = made.pop("id")
    author = {"id": ann.id, "name": "Ann", "postCount": 1}
    assert made == {**given, "status": "draft", "viewCount": 0, "publishedAt": None, "author": author}
    assert await ann.ask(APPROVE, id=post) == {"approvePost": {"id": post, "status": "approved"}}
    published = (await ann.ask(PUBLISH, id=post))["publishPost"]
    assert (published["status"], published["author"]) == ("published", {"name": "Ann"})
    assert [(await blog.stranger.ask(VIEW, id=post))["viewPost"] for _ in range(2)] == [1, 2]
    assert (await ann.ask(PUBLISH, id=post))["publishPost"] == published  # nothing happens twice
    assert (await ann.ask(APPROVE, id=post))["approvePost"]["status"] == "published"
    assert await ann.ask(DELETE, id=post) == {"deletePost": True}
    assert await ann.refused(DELETE, id=post) == NOT_FOUND
    types = await blog.sql.fetchval(
        "SELECT array_agg(type ORDER BY version) FROM twofold.events WHERE stream = $1", f"post-{post}"
    )
    assert types == ["POST_CREATED", "POST_APPROVED", "POST_PUBLISHED", "POST_VIEWED", "POST_VIEWED", "POST_DELETED"]


async def test_a_post_that_breaks_rules(blog: Blog) -> None:
    """All of them are named at once; nothing is written."""
    ann = await blog.sign_up("Ann")
    rules = {
        "title": ("Te", "Title must be at least 3 characters"),
        "content": ("x" * 49, "Content must be at least 50 characters"),
        "tags": (["t"] * 11, "Maximum 10 tags allowed"),
    }
    for names in (["title"], ["content"], ["tags"], list(rules)):
        wrong = {name: rules[name][0] for name in names}
        [error] = (await ann.send(WRITE, input={"title": "Tea", "content": CONTENT, **wrong})).json()["errors"]
        assert error["message"] == "; ".join(rules[name][1] for name in names)
        fields = [{"field": f"input.{name}", "message": rules[name][1]} for name in names]
        assert error["extensions"] == {"code": "VALIDATION", "fields": fields}
    assert await blog.sql.fetchval("SELECT count(*) FROM tb_post") == 0
    await ann.write("T\U0001f375a", "x" * 50, tags=["t"] * 10)  # the least and the most that are allowed


async def test_who_may_do_what(blog: Blog) -> None:
    ann, bea = await blog.sign_up("Ann"), await blog.sign_up("Bea")
    post = await ann.write()
    for mutation in (APPROVE, PUBLISH, DELETE):
        assert await blog.stranger.refused(mutation, id=post) == NOBODY
        assert await ann.refused(mutation, id=str(uuid4())) == NOT_FOUND
    assert await blog.stranger.refused(WRITE, input={"title": "Tea", "content": CONTENT}) == NOBODY
    assert await blog.stranger.refused(VIEW, id=str(uuid4())) == NOT_FOUND
    for mutation in (PUBLISH, DELETE):
        assert await bea.refused(mutation, id=post) == NOT_YOURS
    assert (await bea.ask(APPROVE, id=post))["approvePost"]["status"] == "approved"
    assert (await ann.ask(PUBLISH, id=post))["publishPost"]["status"] == "published"
    code, _ = await ann.refused(DELETE, id="seven")
    assert code == "VALIDATION"


async def test_errors_that_nobody_has_foreseen(blog: Blog) -> None:
    """Their texts stay in the log: they tell what the tables are."""
    ann = await blog.sign_up("Ann")
    post = await ann.write()
    await blog.sql.execute("CREATE TABLE tb_comment (post_id uuid REFERENCES tb_post, comment text)")
    await blog.sql.execute("INSERT INTO tb_comment VALUES ($1, 'Nice')", post)
    await blog.sql.execute("ALTER TABLE tb_user ADD CONSTRAINT no_more CHECK (false) NOT VALID")
    assert await ann.refused(DELETE, id=post) == ("DELETE_FAILED", "Delete failed")
    assert await ann.refused(SIGN_UP, name="Bea", email="bea@example.com") == ("CREATE_FAILED", "Failed to create user")
    counted = "SELECT (SELECT count(*) FROM tb_post), (SELECT count(*) FROM tb_user)"
    assert [tuple(row) for row in await blog.sql.fetch(counted)] == [(1, 1)]


async def test_one_key_is_one_command(blog: Blog) -> None:
    ann = await blog.sign_up("Ann")
    both = "mutation($p: CreatePostInput!) { a: createPost(input: $p) { id } b: createPost(input: $p) { id } }"
    post = {"title": "Tea", "content": CONTENT}
    first = await ann.send(both, "k-1", p=post)
    assert (await ann.send(both, "k-1", p=post)).content == first.content
    a, b = (first.json()["data"][name]["id"] for name in "ab")
    assert a != b
    assert await blog.sql.fetchval("SELECT count(*) FROM tb_post") == 2
    views = [(await blog.stranger.send(VIEW, "k-2", id=a)).json()["data"]["viewPost"] for _ in range(3)]
    assert views == [1, 1, 1]
    reused = await ann.send(both, "k-1", p={**post, "title": "Coffee"})
    assert reused.json()["errors"][0]["extensions"]["code"] == "IDEMPOTENCY_KEY_REUSED"
    bea = await blog.sign_up("Bea")
    other = (await bea.send(both, "k-1", p=post)).json()["data"]
    assert other["a"]["id"] not in (a, b)


async def test_many_at_once(blog: Blog) -> None:
    """One of those who want the same address gets it, and every view counts."""
    wanted = [{"name": f"Ann {n}", "email": f"{'aA'[n % 2]}nn@example.com"} for n in range(12)]
    responses = await asyncio.gather(*(blog.stranger.send(SIGN_UP, **each) for each in wanted))
    codes = [each.json()["errors"][0]["extensions"]["code"] for each in responses if each.status_code != 200]
    assert codes == ["DUPLICATE_EMAIL"] * 11
    bea = await blog.sign_up("Bea")
    post = await bea.write()
    views = await asyncio.gather(*(blog.stranger.ask(VIEW, id=post) for _ in range(30)))
    assert sorted(each["viewPost"] for each in views) == [*range(1, 31)]


async def test_a_login(blog: Blog) -> None:
    ann = await blog.sign_up("Ann")
    response = await ann.http.post("/login", json={"email": "ANN@example.com"})
    assert (response.status_code, set(response.json())) == (200, {"token"})
    zoe = await blog.sign_up("ZOË")
    assert zoe.token is not None
    assert (await ann.http.post("/login", json={"email": "eve@example.com"})).status_code == 401
    assert (await ann.http.post("/login", json={"mail": "ann@example.com"})).status_code == 422
    post = await ann.write()
    await blog.sql.execute("DELETE FROM tb_post_stats; DELETE FROM tb_post; DELETE FROM tb_user")
    assert await ann.refused(PUBLISH, id=post) == NOBODY  # her token is still valid, and she is gone
