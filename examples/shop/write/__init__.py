"""Write models: one file each, with its commands, events, state and rules."""
