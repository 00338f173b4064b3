"""The GraphQL of the blog: queries, mutations and a subscription."""

from uuid import UUID

from fastapi import FastAPI

from blog import commands, folded, views
from blog.app import blog
from blog.commands import CreatePostInput, CreateUser, OnPost
from blog.login import bearer, routes
from blog.views import Post, User
from twofold import Running
from twofold.api import Api, Many, One, anyone
from twofold.web.application import web_app
from twofold.web.commands import Asked

POSTS_BY = ["status", "author_id", "tags__contains"]
PUBLISHED_BY = ["author_id", "published_at__gt"]

api = Api(blog, actor=bearer, allow=anyone, names="camel", title="A blog on twofold")

api.row(views.users, at="GET /users/{id}", name="user")
api.page(views.users, at="GET /users", name="users", filters=(), order_by="-created_at", limit=10)
api.row(views.posts, at="GET /posts/{id}", name="post")
api.page(views.posts, at="GET /posts", name="posts", filters=POSTS_BY, order_by="-created_at")
api.page(views.popular_posts, at="GET /popular", name="popular_posts", filters=(), order_by="-view_count", limit=10)
api.row(views.dashboard, at="GET /users/{id}/dashboard", name="user_dashboard")
api.row(views.materialised_dashboard, at="GET /users/{id}/materialised", name="mv_user_dashboard")
api.page(folded.published, at="GET /published", name="post_published", filters=PUBLISHED_BY, order_by="-published_at")

api.relations(
    views.users, posts=Many(views.posts, by="author_id", order_by="-created_at", limit=10, filters=["status"])
)
api.relations(views.posts, author=One(views.users, by="author_id"))
api.relations(views.popular_posts, author=One(views.users, by="author_id"))
api.relations(folded.published, post=One(views.posts, by="post_id"), author=One(views.users, by="author_id"))


@api.mutation
async def create_user(asked: Asked, name: str, email: str) -> User | None:
    """Needs no login."""
    called = await asked.call(commands.create_user, CreateUser(name, email))
    return await asked.running.get(views.users, called.answer, after=called.token)


@api.mutation
async def create_post(asked: Asked, input: CreatePostInput) -> Post | None:
    """Writes a draft."""
    called = await asked.call(commands.create_post, input)
    return await asked.running.get(views.posts, called.answer, after=called.token)


@api.mutation
async def approve_post(asked: Asked, id: UUID) -> Post | None:
    called = await asked.call(commands.approve_post, OnPost(id))
    return await asked.running.get(views.posts, id, after=called.token)


@api.mutation
async def publish_post(asked: Asked, id: UUID) -> Post | None:
    """Only the author may."""
    called = await asked.call(commands.publish_post, OnPost(id))
    return await asked.running.get(views.posts, id, after=called.token)


@api.mutation
async def delete_post(asked: Asked, post_id: UUID) -> bool | None:
    """Only the author may."""
    return (await asked.call(commands.delete_post, OnPost(post_id))).answer


@api.mutation
async def view_post(asked: Asked, post_id: UUID) -> int | None:
    """Counts a view and returns the new count."""
    return (await asked.call(commands.view_post, OnPost(post_id))).answer


def web(running: Running) -> FastAPI:
    return web_app(running, api, routes)
