"""A blog whose commands are PostgreSQL functions: what the scenario `sql` runs."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from twofold import App, Projection, Recorded
from twofold.sql import SqlCommand

TABLES = """
CREATE TABLE tb_user (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL, email text NOT NULL UNIQUE,
    plain boolean NOT NULL DEFAULT false
);
CREATE TABLE tb_post (
    id bigint GENERATED ALWAYS AS IDENTITY, author integer NOT NULL, words integer NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE FUNCTION fn_plain(p_name text, p_email text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE user_id uuid;
BEGIN
    INSERT INTO tb_user (name, email, plain) VALUES (p_name, p_email, true) RETURNING id INTO user_id;
    RETURN user_id;
END $$;
CREATE FUNCTION fn_create_user(p_name text, p_email text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE user_id uuid;
BEGIN
    INSERT INTO tb_user (name, email) VALUES (p_name, p_email) RETURNING id INTO user_id;
    PERFORM twofold.note('user-' || user_id, 0, jsonb_build_array(jsonb_build_object(
        'type', 'UserNamed', 'data', jsonb_build_object('name', p_name))));
    RETURN user_id;
END $$;
CREATE FUNCTION fn_rename(p_id uuid, p_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM twofold.note('user-' || p_id, NULL, jsonb_build_array(jsonb_build_object(
        'type', 'UserNamed', 'data', jsonb_build_object('name', p_name))));
    UPDATE tb_user SET name = p_name WHERE id = p_id;
END $$;
"""
DASHBOARD = """
CREATE TABLE tb_author (id integer PRIMARY KEY, name text NOT NULL);
INSERT INTO tb_author SELECT n, 'User ' || n FROM generate_series(0, 9999) n;
INSERT INTO tb_post (author, words) SELECT n % 10000, 1 FROM generate_series(0, 99999) n;
CREATE MATERIALIZED VIEW dashboard AS
SELECT a.id, jsonb_build_object('id', a.id, 'name', a.name, 'stats', jsonb_build_object(
    'posts', coalesce(p.posts, 0), 'words', coalesce(p.words, 0), 'newest', p.newest)) AS data
FROM tb_author a
LEFT JOIN (SELECT author, count(*) AS posts, sum(words) AS words, max(at) AS newest FROM tb_post GROUP BY author) p
ON p.author = a.id;
CREATE UNIQUE INDEX ON dashboard (id);
"""


@dataclass(frozen=True)
class CreateUser:
    name: str
    email: str


@dataclass(frozen=True)
class Rename:
    id: UUID
    name: str


@dataclass(frozen=True)
class UserNamed:
    name: str


@dataclass(frozen=True)
class Posted:
    author: int
    words: int


@dataclass(frozen=True)
class User:
    user_id: str
    name: str = ""


@dataclass(frozen=True)
class Author:
    author: int
    posts: int = 0
    words: int = 0


def named(row: User, event: UserNamed, recorded: Recorded) -> User:
    """The newest name."""
    return User(row.user_id, event.name)


def counted(row: Author, event: Posted, recorded: Recorded) -> Author:
    """One more."""
    return Author(row.author, row.posts + 1, row.words + event.words)


create_user: SqlCommand[CreateUser, UUID] = SqlCommand(
    "create_user", CreateUser, function="fn_create_user", answers=UUID, records=[UserNamed, Posted]
)
rename: SqlCommand[Rename, None] = SqlCommand("rename", Rename, function="fn_rename")
users = Projection("users", User, named)
authors = Projection("authors", Author, counted, key=lambda event, recorded: event.author)
BLOG = App("blog", projections=[users, authors], commands=[create_user, rename])
