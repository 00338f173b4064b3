"""Servers for development and tests, started by `./dev` and by tests. twofold never imports them."""
