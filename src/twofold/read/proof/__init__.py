"""Proving a read model: its rows compared with a fresh fold of the feed, and the event from which they differ."""
