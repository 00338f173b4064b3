"""Live rows over HTTP.

subscription.py   a watched query of an actor, told for as long as its rules allow
encoding.py       changed rows as JSON, encoded once for all who watch them
events.py         server-sent events, at the address of the row or page
socket.py         WebSocket `/live`, many subscriptions on one connection
offers.py         what can be subscribed to there
told.py           a WebSocket of events, each with the row that it led to
happened.py       these events, read and encoded once
route.py          what WebSockets have in common: origins, and how they end
together.py       coroutines that end with the first of them
"""
