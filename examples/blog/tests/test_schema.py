"""The schema of GraphQL is the one that was committed: `./dev -- twofold schema blog.api:api > …` writes it."""

from pathlib import Path

from blog.api import api
from twofold.graphql.schema import sdl

COMMITTED = Path(__file__).parents[1] / "schema.graphql"


def test_the_schema_is_the_committed_one() -> None:
    assert sdl(api) == COMMITTED.read_text("utf-8")
