"""Servers for development and tests: started by `./dev` and by tests, never imported by twofold."""
