"""Live rows under real faults: many clients watch over HTTP while servers and the database are killed.

ledger.py    the App: items that change owners, in an old, a mended and a new version
clients.py   clients of server-sent events and of WebSockets, which reconnect with their last token
views.py     what a client knows, and the checks of every frame that it gets
history.py   what each row was at each place of the log, folded here and not by twofold
servers.py   `twofold serve` as processes, and commands of `twofold`
writer.py    changes items all the time
checks.py    views compared with the history while they change, and with the table at rest
run.py       the faults, one after another
"""
