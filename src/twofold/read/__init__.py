"""The read side: rows folded from the feed, each event exactly once, and queries on them."""
