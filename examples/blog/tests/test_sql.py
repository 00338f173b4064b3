"""Those who come with SQL, as psql does: they meet the same rules, and the same read models follow."""

import asyncio

import asyncpg
import pytest

from blog.tests.conftest import CONTENT, Blog

pytestmark = pytest.mark.slow  # a PostgreSQL

IN_THE_STYLE_OF_THE_PAGE = """
CREATE OR REPLACE FUNCTION fn_publish_post(p_post_id UUID, p_user_id UUID) RETURNS BOOLEAN AS $$
BEGIN
    UPDATE tb_post SET status = 'published', published_at = NOW() WHERE id = p_post_id AND author_id = p_user_id;
    INSERT INTO tb_domain_events (event_type, aggregate_id, event_data, created_at)
    SELECT 'POST_PUBLISHED', id, jsonb_build_object('post_id', id, 'author_id', author_id, 'published_at', NOW()), NOW()
    FROM tb_post WHERE id = p_post_id AND author_id = p_user_id;
    RETURN FOUND;
END;
$$ LANGUAGE plpgsql
"""


async def test_functions_called_by_sql_while_graphql_is_used(blog: Blog) -> None:
    ann = await blog.sign_up("Ann")

    async def by_sql(n: int) -> None:
        async with blog.sql.transaction():
            await blog.sql.execute("SELECT set_config('twofold.actor', $1, true)", ann.id)
            post = await blog.sql.fetchval("SELECT fn_create_post($1, $2, '{}', $3)", f"By SQL {n}", CONTENT, ann.id)
            await blog.sql.execute("SELECT fn_publish_post($1, $2)", post, ann.id)
        await blog.sql.execute("SELECT fn_view_post($1)", post)

    async def one_after_another() -> None:
        for n in range(10):
            await by_sql(n)

    async def by_graphql(n: int) -> None:
        await ann.publish(await ann.write(f"By GraphQL {n}"))

    await asyncio.gather(one_after_another(), *(by_graphql(n) for n in range(10)))
    await blog.running.settled(timeout_s=20)
    query = "query($id: ID!) { user(id: $id) { postCount } userDashboard(id: $id) { stats { totalPosts totalViews } } }"
    found = await blog.stranger.ask(query, id=ann.id)
    assert found == {"user": {"postCount": 20}, "userDashboard": {"stats": {"totalPosts": 20, "totalViews": 10}}}
    assert await blog.sql.fetchval("SELECT count(*) FROM tb_audit_log WHERE actor = $1", ann.id) == 40
    counted = "SELECT (SELECT count(*) FROM tb_domain_events), (SELECT count(*) FROM twofold.events)"
    assert [tuple(row) for row in await blog.sql.fetch(counted)] == [(51, 51)]


async def test_constraints_and_refusals_meet_psql_too(blog: Blog) -> None:
    ann, bea = await blog.sign_up("Ann"), await blog.sign_up("Bea")
    post = await ann.write()
    for title, content, tags, constraint in (
        ("Te", CONTENT, [], "tb_post_title_length"),
        ("Tea", "x" * 49, [], "tb_post_content_length"),
        ("Tea", CONTENT, ["t"] * 11, "tb_post_tags_count"),
    ):
        with pytest.raises(asyncpg.CheckViolationError, match=constraint):
            await blog.sql.execute("SELECT fn_create_post($1, $2, $3, $4)", title, content, tags, ann.id)
    with pytest.raises(asyncpg.UniqueViolationError, match="tb_user_email_key"):
        await blog.sql.execute("SELECT fn_create_user('Ann', 'ANN@example.com')")
    for who, what, code in ((None, post, "AUTH_REQUIRED"), (bea.id, post, "FORBIDDEN"), (ann.id, ann.id, "NOT_FOUND")):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await blog.sql.execute("SELECT fn_delete_post($1, $2)", what, who)
        assert (refused.value.sqlstate, refused.value.detail) == ("TF422", code)


async def test_a_function_in_the_style_of_the_page(blog: Blog) -> None:
    """It replaces ours under a server that runs: it knows nothing of twofold, and its event is in the feed."""
    ann, bea = await blog.sign_up("Ann"), await blog.sign_up("Bea")
    post = await ann.write()
    await blog.sql.execute(IN_THE_STYLE_OF_THE_PAGE)
    publish = "mutation($id: ID!) { publishPost(id: $id) { status } }"
    assert await bea.ask(publish, id=post) == {
        "publishPost": {"status": "draft"}
    }  # it changes nothing, and says nothing
    assert await ann.ask(publish, id=post) == {"publishPost": {"status": "published"}}
    await blog.running.settled(timeout_s=20)
    found = await blog.stranger.ask("{ postPublished { postId authorId } }")
    assert found == {"postPublished": [{"postId": post, "authorId": ann.id}]}


async def test_the_audit_log_is_read_from_the_feed(blog: Blog) -> None:
    """And what a function in the style of the page inserts into it enters the feed."""
    ann = await blog.sign_up("Ann")
    post = await ann.write()
    await ann.publish(post)
    await blog.sql.execute("""
        CREATE OR REPLACE FUNCTION fn_create_user(p_name text, p_email text) RETURNS uuid LANGUAGE sql AS $$
            WITH made AS (INSERT INTO tb_user (name, email) VALUES (p_name, p_email) RETURNING id)
            INSERT INTO tb_audit_log (action, table_name, record_id) SELECT 'IMPORT_USER', 'tb_user', id FROM made
            RETURNING record_id
        $$""")
    bea = await blog.sign_up("Bea")
    rows = await blog.sql.fetch("SELECT action, table_name, record_id::text, actor FROM tb_audit_log ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("CREATE_USER", "tb_user", ann.id, None),
        ("CREATE_POST", "tb_post", post, ann.id),
        ("PUBLISH_POST", "tb_post", post, ann.id),
        ("IMPORT_USER", "tb_user", bea.id, None),
    ]


async def test_events_that_are_none_are_refused(blog: Blog) -> None:
    insert = "INSERT INTO tb_domain_events (event_type, aggregate_id, event_data) VALUES ($1, gen_random_uuid(), $2)"
    for type_, data, state in (
        ("POST_BURNED", "{}", "TF006"),
        ("POST_DELETED", "{}", "TF007"),
        ("POST_VIEWED", '{"view_count": "many"}', "TF007"),
    ):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await blog.sql.execute(insert, type_, data)
        assert refused.value.sqlstate == state
    assert await blog.sql.fetchval("SELECT count(*) FROM tb_domain_events") == 0
