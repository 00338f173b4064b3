"""Reactors: what should happen because something has happened."""
