"""The Api of an App that declares none: everything in it, at addresses by rule. Pure."""

from __future__ import annotations

from collections import Counter

from twofold.api.actors import nobody
from twofold.api.addresses import RESERVED, snake
from twofold.api.api import Api
from twofold.app import App
from twofold.errors import ConfigurationError


def by_rule(app: App) -> Api:
    """Every command that is not internal, every SQL command, and every projection.

    Raises: ConfigurationError for a name or a command that cannot be served by rule.
    """
    api = Api(app, actor=nobody)
    deciders = [decider for decider in app.deciders if not decider.category.startswith("twofold")]
    parts = [
        *((each.owner, each.category) for each in deciders),
        *((each.owner, each.name) for each in (*app.projections, *app.views)),
    ]
    for owner, name in parts:
        if name in RESERVED:
            raise ConfigurationError(
                f"{owner} cannot be served at /{name}, which twofold serves itself: declare an Api, and give it an "
                f"address there with at="
            )
    pages = {f"{projection.name}_list" for projection in (*app.projections, *app.views)}
    offered = [(d, command) for d in deciders for command in d.command_types if command not in d.internal]
    names = Counter(snake(command.__name__) for _, command in offered)
    names.update([*pages, *(projection.name for projection in (*app.projections, *app.views))])
    for decider, command in offered:
        name = snake(command.__name__)
        api.command(decider, command, name=name if names[name] == 1 else f"{decider.category}_{name}")
    for each in app.commands:
        api.command(each, name=each.name if not names[each.name] else f"sql_{each.name}")
    for projection in (*app.projections, *app.views):
        api.row(projection, name=f"{projection.name}_row" if projection.name in pages else None)
        api.page(projection)
    return api
