"""Read models: rows folded from events. They know the events of `write`, and nothing of its rules."""
