"""The queries: what they return, what they cost PostgreSQL, and that both dashboards are the same."""

import re
from typing import Any

import pytest

from blog.tests.conftest import Blog, User

pytestmark = pytest.mark.slow  # a PostgreSQL

STATS = "{ id name stats { totalPosts totalViews lastPostDate } }"
USERS = "/graphql?query={users{name}}"
VIEW = "mutation($id: ID!) { viewPost(postId: $id) }"


async def test_lists(blog: Blog) -> None:
    names = [f"User {n}" for n in range(12)]
    users = [await blog.sign_up(name.replace(" ", "")) for name in names]
    found = (await blog.stranger.ask("{ users { name } }"))["users"]
    assert [one["name"] for one in found] == [f"User{n}" for n in range(11, 1, -1)]  # ten, the newest first
    assert len((await blog.stranger.ask("{ users(limit: 12) { name } }"))["users"]) == 12
    ann = users[0]
    posts = [await ann.write(f"On tea {n}", tags=["tea"] if n else []) for n in range(3)]
    await ann.publish(*posts[:2])
    for views, post in enumerate(posts):
        for _ in range(views):
            await blog.stranger.ask(VIEW, id=post)
    query = """{
        posts { title status tags viewCount author { name postCount posts(limit: 1) { title } } }
        tagged: posts(tags__contains: ["tea"], status: published) { title }
        popularPosts { title viewCount author { name } }
    }"""
    found = await blog.stranger.ask(query)
    assert [(one["title"], one["status"], one["viewCount"]) for one in found["posts"]] == [
        ("On tea 2", "draft", 2),
        ("On tea 1", "published", 1),
        ("On tea 0", "published", 0),
    ]
    assert found["posts"][0]["author"] == {"name": "User0", "postCount": 3, "posts": [{"title": "On tea 2"}]}
    assert found["tagged"] == [{"title": "On tea 1"}]
    author = {"name": "User0"}
    assert found["popularPosts"] == [
        {"title": "On tea 1", "viewCount": 1, "author": author},
        {"title": "On tea 0", "viewCount": 0, "author": author},
    ]
    assert (await blog.stranger.ask("query($id: ID!) { user(id: $id) { name } }", id=posts[0]))["user"] is None
    assert not blog.web.state.graphql.fallbacks  # each query was one statement


async def test_both_dashboards_are_the_same_after_every_step(blog: Blog) -> None:
    """A refresh of the one, an event of the other; drafts and what was deleted do not count."""
    ann, bea = await blog.sign_up("Ann"), await blog.sign_up("Bea")
    assert await dashboard(blog, ann) == {"totalPosts": 0, "totalViews": 0, "lastPostDate": None}
    older, newer, draft = [await ann.write(f"Post {n}") for n in range(3)]
    await bea.publish(await bea.write())
    for post in (older, newer, draft, draft):
        await blog.stranger.ask(VIEW, id=post)
    await ann.publish(older, newer)
    both = await dashboard(blog, ann)
    created = {str(row[0]): row[1] for row in await blog.sql.fetch("SELECT id, created_at FROM tb_post")}
    assert (both["totalPosts"], both["totalViews"]) == (2, 2)
    assert both["lastPostDate"] == f"{created[newer]:%Y-%m-%dT%H:%M:%S.%fZ}"
    await ann.ask("mutation($id: ID!) { deletePost(postId: $id) }", id=newer)
    both = await dashboard(blog, ann)
    assert (both["totalPosts"], both["totalViews"]) == (1, 1)
    assert both["lastPostDate"] == f"{created[older]:%Y-%m-%dT%H:%M:%S.%fZ}"


async def dashboard(blog: Blog, user: User) -> Any:
    """The figures of a user, which both dashboards must show once they have what has happened until now."""
    head = await blog.running.log.head()
    token = f"{blog.running.log.log_id}:{head}"
    query = (
        f"query($id: ID!) {{ folded: userDashboard(id: $id) {STATS} materialised: mvUserDashboard(id: $id) {STATS} }}"
    )
    body = {"query": query, "variables": {"id": user.id}}
    response = await blog.stranger.http.post("/graphql", json=body, headers={"Consistency-Token": token})
    found = response.json()["data"]
    assert found["folded"] == found["materialised"], response.text
    return found["folded"]["stats"]


async def test_what_is_read_often_comes_from_an_index(blog: Blog) -> None:
    """None of the rows that are left out is read."""
    await blog.sql.execute("""
        INSERT INTO tb_user (name, email) SELECT 'u', n || '@example.com' FROM generate_series(1, 2000) n;
        INSERT INTO tb_post (author_id, title, content, status)
        SELECT id, 'Title', repeat('x', 50), 'published' FROM tb_user;
        INSERT INTO tb_post_stats SELECT id, author_id, row_number() OVER (ORDER BY id) FROM tb_post;
        ANALYZE tb_user, tb_post, tb_post_stats;
    """)
    popular = "SELECT * FROM v_popular_posts ORDER BY view_count DESC, id DESC LIMIT 10"
    newest = "SELECT * FROM v_user_with_stats ORDER BY created_at DESC, id DESC LIMIT 10"
    of_one = "SELECT * FROM v_post_detail WHERE author_id = (SELECT id FROM tb_user LIMIT 1)"
    mine = f"{of_one} ORDER BY created_at DESC, id DESC"
    known = "SELECT * FROM v_address WHERE address = '7@example.com'"
    for query, index in (
        (popular, "idx_popular_posts_views"),
        (newest, "tb_user_newest"),
        (mine, "tb_post_of_author"),
        (known, "tb_user_email_key"),
    ):
        plan = "\n".join(row[0] for row in await blog.sql.fetch(f"EXPLAIN {query}"))
        assert re.search(rf"Index.* using {index}", plan), plan
        assert "Sort" not in plan, plan


async def test_a_query_by_get_has_an_entity_tag(blog: Blog) -> None:
    ann = await blog.sign_up("Ann")
    first = await ann.http.get(USERS)
    known = {"If-None-Match": first.headers["ETag"]}
    again = await ann.http.get(USERS, headers=known)
    assert (again.status_code, again.content) == (304, b"")
    await blog.sign_up("Bea")
    assert (await ann.http.get(USERS, headers=known)).status_code == 200
