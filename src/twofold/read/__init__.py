"""The read side: rows folded from the feed, each event exactly once, and the queries that they answer."""
