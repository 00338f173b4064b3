"""`twofold schema`: the GraphQL schema of an App or an Api."""

from __future__ import annotations

import sys

from twofold.api import Api, by_rule
from twofold.cli.target import AppName, check_name, fail
from twofold.errors import ConfigurationError
from twofold.operate.load import imported, load_app


def schema(app: AppName) -> None:
    """Print the GraphQL schema of an App or an Api.

    It is in the schema definition language. Needs the extra `graphql`.
    """
    check_name(app, "APP", "shop.app:shop")
    try:
        from twofold.graphql.schema import sdl
    except ModuleNotFoundError as error:
        fail(ConfigurationError(f"there is no module {error.name!r}: `schema` needs `pip install 'twofold[graphql]'`"))
    try:
        loaded = load_app(app)
        module, _, attribute = app.partition(":")
        served = getattr(imported(module), attribute)
        sys.stdout.write(sdl(served if isinstance(served, Api) else by_rule(loaded)))
    except ConfigurationError as error:
        fail(error)
