"""A lending library: titles and their copies, members, loans, reservations and fines.

titles.py, copies.py, queues.py, members.py   write models
catalogue.py, lending.py, accounts.py         read models
consequences.py                               what a loan, a return or a loss leads to
desk.py                                       what is looked up before a command is decided
app.py, api.py                                the App, and what clients may do with it
"""
