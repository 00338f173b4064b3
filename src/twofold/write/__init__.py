"""The write side: commands are decided against the events of one stream, and what is decided is appended."""
