"""Servers for development and tests. `./dev` and tests start them; twofold never imports them."""
