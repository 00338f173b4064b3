"""What an operator does with an App and its stores, each once: the command line and the web show it."""
