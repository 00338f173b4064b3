"""twofold over HTTP: small pieces for FastAPI, one idea to a file. The extra `web` brings what they need.

application.py    a FastAPI app around a running App, with everything below in its place
problems.py       every error as RFC 9457 problem details
bodies.py         JSON bodies: size, syntax, strict types, exact numbers
forms.py          one rule for names and decimals: in schemas, bodies and answers
routes.py         routes that take such bodies, and only the parameters they declare
parameters.py     parameters found the short way, where they are plain
answers.py        JSON answers, in the form of their route
rows.py           rows as answers, straight from their columns
commands.py       who sends a command, and how often
actors.py         nobody, for an App without users
steps.py          what one request does: its commands and new ids, the same ones when it runs again
idempotency.py    the same key, the same answer
preconditions.py  ETag, If-Match, If-None-Match
methods.py        HEAD where there is GET, and no precondition passed over
operations.py     ids of operations that can be read
consistency.py    Consistency-Token, Prefer: wait
health.py         /health/live, /health/ready, /status, /metrics
logs.py           one line for each request, in JSON or for a terminal
docs.py           /docs without another host
server.py         serve until told to stop
limits.py         what one process takes on at once, and how long it waits for a client
admission.py      what is too much is refused at once
connections.py    what is too slow or too large is ended
"""

from twofold.web.actors import nobody

__all__ = ["nobody"]
