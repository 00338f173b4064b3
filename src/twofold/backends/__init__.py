"""Backends: where the log and the read models lie. `connect(url)` is the way in."""
