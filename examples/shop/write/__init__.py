"""Write models: one file each holds the commands, the events, the state and the rules between them."""
