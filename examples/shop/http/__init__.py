"""The shop over HTTP: its addresses, and what they share.

app.py          every address, as an Api
who.py          who sends requests, and who may do what
fields.py       what clients may send in a field
references.py   products and customers named in a request, looked up in the write models
orders.py, order_views.py, answers.py   what is sent and returned where that is not a command or a row itself
"""
