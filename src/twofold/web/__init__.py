"""twofold over HTTP: small pieces for FastAPI, one idea per file. Requires the extra `web`.

application.py    a FastAPI app around a running App, with everything below installed
problems.py       every error as RFC 9457 problem details
bodies.py         JSON bodies: size, syntax, strict types, exact numbers
field_errors.py   validation errors, by field
known_fields.py   which fields may be sent, for those errors
forms.py          one rule for names and decimals: in schemas, bodies and responses
routes.py         routes that take such bodies, and only the parameters they declare
parameters.py     which parameters may be sent, and how they are written
dependencies.py   simple dependencies, solved faster than FastAPI does
answers.py        JSON responses, in the form of their route
rows.py           rows as JSON, straight from their columns
commands.py       commands by HTTP: who sends one, and that it is executed once
identity.py       the actor of a request, and what it may do
login/            ways to log in: bearer tokens, sessions
cors.py           pages of other origins
rest/             a route for every command, row and page of an Api
steps.py          the commands and new ids of a request, the same each time it runs
idempotency.py    the same key, the same response
preconditions.py  ETag, If-Match, If-None-Match
methods.py        HEAD wherever there is GET, and no precondition ignored
openapi.py        the OpenAPI document: errors, headers, operation ids
consistency.py    Consistency-Token, Prefer: wait
health.py         /health/live, /health/ready, /status, /metrics
logs.py           one line per request, as JSON or for a terminal
docs.py           /docs, without scripts from another host
serving/          the server: limits, admission, connections, a clean stop
"""
