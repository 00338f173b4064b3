"""The Api of an App that declares none: everything in it, at addresses by rule. Pure."""

from __future__ import annotations

from collections import Counter

from twofold.api.actors import nobody
from twofold.api.addresses import snake
from twofold.api.api import Api
from twofold.app import App
from twofold.errors import ConfigurationError

RESERVED = ("docs", "graphql", "health", "live", "metrics", "openapi", "status")


def by_rule(app: App) -> Api:
    """Every command that is not internal, and every projection. Raises: ConfigurationError for a reserved name."""
    api = Api(app, actor=nobody)
    deciders = [decider for decider in app.deciders if not decider.category.startswith("twofold")]
    for owner, name in [*((d.owner, d.category) for d in deciders), *((p.owner, p.name) for p in app.projections)]:
        if name in RESERVED:
            raise ConfigurationError(
                f"{owner} cannot be served at /{name}, which twofold serves itself: declare an Api, and give it an "
                f"address there with at="
            )
    offered = [(d, command) for d in deciders for command in d.command_types if command not in d.internal]
    count = Counter(snake(command.__name__) for _, command in offered)
    for decider, command in offered:
        name = snake(command.__name__)
        api.command(decider, command, name=name if count[name] == 1 else f"{decider.category}_{name}")
    for projection in app.projections:
        api.row(projection)
        api.page(projection)
    return api
