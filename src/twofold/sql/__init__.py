"""Commands that are functions in PostgreSQL, and read models that are views there.

command.py  SqlCommand and Called
caller.py   calls them in a running App
calls.py    the port to a store that runs them, and what their errors mean
writer.py   many in a transaction
forms.py    the events of an App, as PostgreSQL checks what functions note
shapes.py   their fields and types, as jsonpath
view.py     View
views.py    the port to a store of views; keeps materialised ones fresh
"""

from twofold.sql.command import Called, SqlCommand
from twofold.sql.view import View

__all__ = ["Called", "SqlCommand", "View"]
