"""Live rows over HTTP.

subscription.py   a watched query of an actor: its rounds as JSON, as long as its rules allow
events.py         server-sent events, at the address of the row or page
"""
