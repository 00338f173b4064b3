"""Reactors: commands and effects that follow from events."""
