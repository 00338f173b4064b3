"""Read models: rows folded from events. They know the events of `write` but not its rules."""
