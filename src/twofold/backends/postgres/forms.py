"""How the Apps on a log write their events, kept beside it for `twofold.note` to check by."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from twofold.backends.postgres.pool import Connection
from twofold.backends.statements import statements
from twofold.sql.forms import EventForm
from twofold.sql.shapes import Shape

_SQL = statements("twofold.backends.postgres", "forms.sql")
_ANY_OBJECT = Shape('$.type() == "object"', (), ())


async def install(connection: Connection, app: str, forms: Sequence[EventForm]) -> None:
    """See `ChecksForms.install`. Writes nothing if all are known: most roles that only read may not write."""
    known = {tuple(row) for row in await connection.fetch(_SQL["known"], app)}
    schemas = {row[:3] for row in known}
    for form in forms:
        at = (form.category, form.type, form.schema)
        if (*at, form.fingerprint) in known or (form.shape is None and at in schemas):
            continue
        shape = form.shape or _ANY_OBJECT
        fields = msgspec.json.encode(shape.fields).decode()
        await connection.execute(_SQL["install"], app, *at, form.fingerprint, shape.fits, fields, list(shape.integers))
