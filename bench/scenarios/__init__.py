"""What is measured, in the order of the report. Each module describes one scenario and runs it."""

from collections.abc import Callable

from bench.run import Run
from bench.scenarios.append import appends
from bench.scenarios.catch_up import catch_up
from bench.scenarios.command import commands
from bench.scenarios.cosmos import cosmos
from bench.scenarios.edges import edges
from bench.scenarios.graphql import graphql
from bench.scenarios.http import requests
from bench.scenarios.idle import idle
from bench.scenarios.importing import importing
from bench.scenarios.lag import lag
from bench.scenarios.live import live
from bench.scenarios.load import load
from bench.scenarios.rebuild import rebuild
from bench.scenarios.retail import retail
from bench.scenarios.rollup import rollup
from bench.scenarios.sql import sql

# Scenarios with ratios come first: on a slow machine the five minutes of a quick run may not suffice for all.
SCENARIOS: dict[str, Callable[[Run], None]] = {
    "append": appends,
    "load": load,
    "rebuild": rebuild,
    "catch-up": catch_up,
    "command": commands,
    "edges": edges,
    "graphql": graphql,
    "lag": lag,
    "importing": importing,
    "http": requests,
    "cosmos": cosmos,
    "rollup": rollup,
    "idle": idle,
    "live": live,
    "retail": retail,
    "sql": sql,
}
NOT_QUICK = {"graphql", "live", "retail", "sql"}  # they take long: a quick run skips them unless they are named
