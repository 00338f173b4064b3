"""A blog in the manner of PostgreSQL: functions are the commands, views the read models, GraphQL the way in.

sql/          tables, functions, and a file for each view
events.py     what the functions record
commands.py   the functions as commands, with what their errors mean
views.py      the read models that are views
folded.py     the read models that are folded from events
app.py        the App
api.py        its GraphQL: queries, mutations, subscriptions
login.py      POST /login, and the tokens
install.py    runs the files of sql/ in a database
serve.py      `./dev blog`: PostgreSQL and the server
costs.py      measures both dashboards
"""
