"""A SQL command over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response

from twofold.api.calls import ServedCall
from twofold.web.answers import answer
from twofold.web.commands import Asked
from twofold.web.forms import JsonForm
from twofold.web.preconditions import Conditions
from twofold.web.rest.commands import CommandEndpoint


class CallEndpoint(CommandEndpoint):
    """Handles the requests for one SQL command: they are read as those of any command."""

    served: Any  # a ServedCall, which has no stream

    def __init__(self, served: ServedCall, form: JsonForm) -> None:
        like_any: Any = served
        super().__init__(like_any, form, None)

    async def _handle(self, this: Asked, sent: Any, arguments: Mapping[str, Any], conditions: Conditions) -> Response:
        called = await this.call(self.served.command, sent)
        headers = {"Consistency-Token": called.token}
        if not self.served.has_body:
            return Response(status_code=self.served.status, headers=headers)
        return answer(self.served.returns(called), self.served.status, headers, form=self.form)

    async def _conditions(self, request: Request) -> Conditions:
        return Conditions(None, None)
