"""A host: one app, its worker, its server and its triggers, from start to end."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from devservers.functions import retries
from devservers.functions.accounts import Accounts
from devservers.functions.channel import Worker
from devservers.functions.delivery import Deliveries
from devservers.functions.errors import NotRun, WorkerEnded
from devservers.functions.functions import Function, understood
from devservers.functions.http import Endpoint, Http, Keys, endpoint
from devservers.functions.invoking import Invoker
from devservers.functions.log import Log
from devservers.functions.options import TriggerOptions, trigger_options
from devservers.functions.outputs import CosmosOutputs
from devservers.functions.serving import Server, address
from devservers.functions.settings import HostFile, Settings, read_settings
from devservers.functions.trigger import Host, Trigger

LAST_BATCHES_S = 10.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to run, how and where. Without `keys` no request needs one."""

    folder: Path
    file: HostFile
    python: Path
    on: socket.socket
    keys: Keys | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The functions of an app that are run: by requests, and by changes."""

    endpoints: Sequence[Endpoint]
    triggered: Sequence[tuple[Function, TriggerOptions]]


async def serve(wanted: Wanted, environment: Mapping[str, str]) -> None:
    """Run the app until SIGINT or SIGTERM. Raises: Misconfigured, WorkerEnded."""
    settings, log = read_settings(wanted.folder, environment), Log(wanted.file.levels)
    async with _worker(wanted, settings, log) as worker, Accounts(settings) as accounts:
        plan = planned(await worker.load(wanted.folder), wanted.file, log)
        invoker = Invoker(worker, CosmosOutputs(accounts), log)
        server = Server(Http(plan.endpoints, invoker, wanted.keys), lambda: _announce(wanted, plan, log))
        worker.ended.add_done_callback(lambda _: server.handle_exit(signal.SIGTERM, None))
        name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        async with _following(Host(name, accounts, log, asyncio.Event()), plan, invoker):
            await server.serve(sockets=[wanted.on])
        if worker.ended.done():
            raise WorkerEnded(worker.death())


def planned(metadata: Sequence[Mapping[str, Any]], file: HostFile, log: Log) -> Plan:
    """What of an app is run; what is not is logged with the reason. Raises: Misconfigured."""
    endpoints, triggered, usual = list[Endpoint](), list[tuple[Function, TriggerOptions]](), retries.of_host(file.retry)
    for one in metadata:
        try:
            function = understood(one)
            if function.http:
                endpoints.append(endpoint(function, file.route_prefix))
            else:
                function = replace(function, retry=function.retry or usual)
                triggered.append((function, trigger_options(function.trigger.values)))
        except NotRun as reason:
            log.write("Warning", f"is not run: {reason}", one["name"])
    return Plan(endpoints, triggered)


@asynccontextmanager
async def _worker(wanted: Wanted, settings: Settings, log: Log) -> AsyncIterator[Worker]:
    here = {
        "WEBSITE_HOSTNAME": address(wanted.on).removeprefix("http://"),
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
    }
    worker = await Worker.started(wanted.python, wanted.folder, {**here, **settings.values}, log.of_worker)
    try:
        yield worker
    finally:
        await worker.stop()


@asynccontextmanager
async def _following(host: Host, plan: Plan, invoker: Invoker) -> AsyncIterator[None]:
    """Run the triggers meanwhile. At the end, batches that have begun may be finished and their leases are let go."""
    triggers = [
        Trigger(host, function.name, options, Deliveries(function, invoker, host.log, host.stop).deliver)
        for function, options in plan.triggered
    ]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one.run()) for one in triggers]
        try:
            yield
        finally:
            host.stop.set()
            for one in triggers:
                one.stopping()
            if running:
                _, unfinished = await asyncio.wait(running, timeout=LAST_BATCHES_S)
                for task in unfinished:
                    task.cancel()


def _announce(wanted: Wanted, plan: Plan, log: Log) -> None:
    """Say what is served, then the address alone on a line of the standard output."""
    where = address(wanted.on)
    for one in sorted(plan.endpoints, key=lambda one: one.shown):
        methods = ",".join(sorted(one.methods)) or "any method"
        log.write("Information", f"{methods} {where}/{one.shown}", one.function.name)
    print(where, flush=True)  # noqa: T201
