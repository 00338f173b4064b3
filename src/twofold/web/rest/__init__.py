"""REST from an Api: a route for each command, row and page.

routes.py     the routes of an Api, and what all of them refuse
direct.py     requests for them, past FastAPI's routing
commands.py   a command: its body, its id, its response
edge.py       what a client sends of a class, and what comes from elsewhere
rows.py       a row, with an entity tag
pages.py      pages: conditions from query parameters, cursors
values.py     values of paths and queries, written the way JSON writes them
described.py  the same as OpenAPI
"""
