"""The feed: the log in order, and how whoever follows it shares the work and keeps his place."""
