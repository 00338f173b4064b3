"""Commands that are functions in PostgreSQL.

command.py  SqlCommand and Called
calls.py    the port to a store that runs them, and what their errors mean
writer.py   many in a transaction
forms.py    the events of an App, as PostgreSQL checks what functions note
shapes.py   their fields and types, as jsonpath
"""

from twofold.sql.command import Called, SqlCommand

__all__ = ["Called", "SqlCommand"]
