"""Microsoft's own tests of azure-cosmos, run against the development server.

They are in the SDK's source package, which is downloaded when they run and kept in the environment's folder; nothing
of it is in this repository. `python -m devservers.cosmos_tests` runs them and compares the outcome with the list of
failures that are expected, each with its reason.
"""
