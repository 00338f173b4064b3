"""GraphQL from an Api: the schema, and what an operation asks of the read models. Imports no web framework.

names.py      names of types, fields and arguments
scalars.py    values of JSON: how they are read and written
types.py      types from annotations, which never touch the classes themselves
behind.py     what stands behind the fields of a schema
schema.py     the schema of an Api
arguments.py  the conditions of pages as arguments
documents.py  parsed and validated documents, and their limits
limits.py     how much an operation may ask for
selection.py  which fields an operation selects
plan.py       one statement for a whole operation
mutation.py   the fields of a mutation in turn, and their results as JSON

`twofold.web.graphql` serves it.
"""
