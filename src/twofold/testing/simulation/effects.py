"""Reactors with effects: external effects of an App are recorded when they begin and when they are done."""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from twofold.app import App
from twofold.messages import Recorded
from twofold.react.reactor import Reactor

Event = tuple[str, str, int]  # the reactor, and the event's stream and version


@dataclass
class Effects:
    """The effects of one history: how often each reaction started, and what it returned if it finished, in order."""

    begun: Counter[Event] = field(default_factory=Counter)
    answers: dict[Event, Any] = field(default_factory=dict)
    done: Callable[[str, Recorded], None] = lambda reactor, recorded: None


class Observed:
    """An App whose coroutine reactors are observed; `effects` belongs to the running history."""

    def __init__(self, app: App) -> None:
        self.effects = Effects()
        awaited = [reactor for reactor in app.reactors if inspect.iscoroutinefunction(reactor.react)]
        self.reactors = frozenset(reactor.name for reactor in awaited)
        seen = [self._observed(reactor) if reactor in awaited else reactor for reactor in app.reactors]
        self.app = replace(app, reactors=seen) if awaited else app

    def _observed(self, reactor: Reactor) -> Reactor:
        react: Any = reactor.react

        @functools.wraps(react)
        async def observed(event: Any, recorded: Recorded) -> Any:
            effects, name = self.effects, (reactor.name, str(recorded.stream), recorded.version)
            effects.begun[name] += 1
            answer = await react(event, recorded)
            effects.done(reactor.name, recorded)
            effects.answers[name] = answer
            return answer

        return replace(reactor, react=observed)
