"""`twofold stores`: what each backend can store."""

from __future__ import annotations

from twofold.backends.stores import backends, lines
from twofold.cli.output import err, print_rows
from twofold.cli.target import AsJson


def stores(as_json: AsJson = False) -> None:
    """Show what each backend can store, and its limits. Needs neither an App nor a store.

    A dash means that the backend has no such store. Limits are enforced before anything is sent to the store.
    """
    found, missing = backends()
    rows = [
        {"of": line.of, "what": line.what, **dict(zip((one.name for one in found), line.values, strict=True))}
        for line in lines(found)
    ]
    print_rows(rows, as_json)
    for why in missing:
        err.print(f"note: {why}")
