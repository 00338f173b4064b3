"""The library: all its write models, read models and its reactor."""

from library.accounts import accounts, ledger
from library.catalogue import catalogue, shelves
from library.consequences import consequences
from library.copies import copies
from library.lending import loans, open_loans, reservations
from library.members import members
from library.queues import queues
from library.titles import titles
from twofold import App

library = App(
    "library",
    deciders=[titles, copies, queues, members],
    projections=[catalogue, shelves, loans, open_loans, reservations, accounts, ledger],
    reactors=[consequences],
)
