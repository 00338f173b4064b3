"""Proving a read model: a fresh fold of the feed, compared with its rows (`verify`), and the event where they part."""
