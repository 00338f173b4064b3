"""Ways to log in: values for the `actor=` of an Api.

bearer.py      JSON web tokens in the header Authorization; needs the extra `jwt`
sessions.py    a session cookie, which can be ended
schemes.py     how OpenAPI and the challenge of a 401 describe a login
documented.py  which of your own routes read the login
"""
