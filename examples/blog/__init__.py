"""A blog on PostgreSQL: its commands are functions, its read models views, and it is served as GraphQL.

sql/          tables, functions, and a file for each view
events.py     what the functions record
commands.py   the functions as commands, and the codes of their errors
views.py      the read models that are views
folded.py     the read models that are folded from events
app.py        the App
api.py        its GraphQL: queries, mutations, subscriptions
login.py      POST /login, and the tokens
install.py    makes the tables and functions in a database
serve.py      `./dev blog`: PostgreSQL and the server
costs.py      measures both dashboards
"""
