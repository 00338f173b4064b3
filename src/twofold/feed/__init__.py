"""The feed: the log in order, and how its followers share the work and keep their places."""
