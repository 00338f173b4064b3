"""What clients may do with an App, as one value. REST, OpenAPI and whatever else serves an App are made from it.

api.py        Api: commands, rows and pages, each with its address and who may use it
parts.py      what it has besides, for GraphQL
served.py     one command, checked when it is declared
calls.py      one SQL command, checked when it is declared
reads.py      one row or pages, checked when they are declared
relations.py  the rows of a read model that belong to a row of another
resolvers.py  queries and mutations of your own, for GraphQL
results.py    responses to commands, by the names of their fields
addresses.py  `POST /copies/{id}/returns`: a method, a path and its parameters
actors.py     who asks, what they may do, and which rows exist for them
origins.py    where web pages come from
sessions.py   sessions of users who log in, a stream for each
rule.py       the Api of an App that declares none

Imports no web framework.
"""

from twofold.api.actors import Actor, ActorOf, Allow, Scope, Sees, anyone, logged_in, nobody
from twofold.api.api import Api, Served
from twofold.api.calls import ServedCall
from twofold.api.reads import ServedPage, ServedRow
from twofold.api.relations import Many, One, Related
from twofold.api.resolvers import Resolver
from twofold.api.rule import by_rule
from twofold.api.served import ServedCommand, new_id

__all__ = [
    "Actor",
    "ActorOf",
    "Allow",
    "Api",
    "Many",
    "One",
    "Related",
    "Resolver",
    "Served",
    "Scope",
    "Sees",
    "ServedCall",
    "ServedCommand",
    "ServedPage",
    "ServedRow",
    "anyone",
    "by_rule",
    "logged_in",
    "new_id",
    "nobody",
]
