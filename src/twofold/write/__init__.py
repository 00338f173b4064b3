"""The write side: a command is decided against the events of one stream, and the resulting events are appended."""
