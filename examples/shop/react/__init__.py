"""Reactors: what follows from events."""
