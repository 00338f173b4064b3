"""The shop over HTTP.

app.py      every address, as an Api; the rest is what it shares
who.py      who sends requests, and who may do what
fields.py   what clients may send in a field
orders.py, answers.py   what is sent and returned where that is not a command or a row itself
events.py   the WebSocket /orders/events
page/       the page at /, with live orders
"""
