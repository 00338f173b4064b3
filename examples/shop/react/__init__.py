"""Reactors: what should happen because something happened."""
