"""The subscription `postPublished`."""

from typing import Any

import pytest

from blog.tests.conftest import Blog

pytestmark = pytest.mark.slow  # a PostgreSQL

PUBLISHED = "{ rows { postId publishedAt post { title } author { name } } gone snapshot token }"


async def test_a_subscriber_hears_of_what_is_published_and_deleted(blog: Blog) -> None:
    ann = await blog.sign_up("Ann")
    first, second = await ann.write("First"), await ann.write("Second")
    await ann.publish(first)
    await blog.running.settled(timeout_s=20)
    async with blog.subscribed(f"subscription {{ postPublished {PUBLISHED} }}") as following:
        begun = (await following())["postPublished"]
        assert begun["snapshot"]
        assert [(one["postId"], one["post"]) for one in begun["rows"]] == [(first, {"title": "First"})]
        await blog.stranger.ask("mutation($id: ID!) { viewPost(postId: $id) }", id=first)  # of no concern
        await ann.publish(second)
        news = (await following())["postPublished"]
        [row] = news["rows"]
        assert (row["postId"], row["post"], row["author"]) == (second, {"title": "Second"}, {"name": "Ann"})
        assert row["publishedAt"] == f"{await published_at(blog, second):%Y-%m-%dT%H:%M:%S.%fZ}"
        assert (news["snapshot"], news["gone"]) == (False, [])
        await ann.ask("mutation($id: ID!) { deletePost(postId: $id) }", id=second)
        assert (await following())["postPublished"]["gone"] == [second]
    third = await ann.write("Third")
    await ann.publish(third)
    resumed = f'subscription {{ postPublished(after: "{news["token"]}") {PUBLISHED} }}'
    async with blog.subscribed(resumed) as following:  # what it has missed, and nothing else
        news = (await following())["postPublished"]
        assert ([one["postId"] for one in news["rows"]], news["gone"], news["snapshot"]) == ([third], [second], False)


async def test_a_subscriber_may_want_the_posts_of_one_author_from_now_on(blog: Blog) -> None:
    ann, bea = await blog.sign_up("Ann"), await blog.sign_up("Bea")
    await ann.publish(await ann.write("Old"))
    await blog.running.settled(timeout_s=20)
    now = await blog.sql.fetchval("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
    wanted = f'authorId: "{ann.id}", publishedAt__gt: "{now}"'
    async with blog.subscribed(f"subscription {{ postPublished({wanted}) {PUBLISHED} }}") as following:
        assert (await following())["postPublished"]["rows"] == []
        await bea.publish(await bea.write("Another's"))
        await ann.publish(await ann.write("New"))
        assert [one["post"]["title"] for one in (await following())["postPublished"]["rows"]] == ["New"]


async def published_at(blog: Blog, post: str) -> Any:
    """As POST_PUBLISHED has it, for readers with SQL."""
    data = "SELECT event_data FROM tb_domain_events WHERE event_type = 'POST_PUBLISHED' AND aggregate_id = $1"
    fields = "post_id uuid, author_id uuid, published_at timestamptz"
    [row] = await blog.sql.fetch(f"SELECT d.* FROM ({data}) e, jsonb_to_record(e.event_data) d ({fields})", post)
    assert str(row["post_id"]) == post
    assert row["author_id"] == await blog.sql.fetchval("SELECT author_id FROM tb_post WHERE id = $1", post)
    return row["published_at"]
