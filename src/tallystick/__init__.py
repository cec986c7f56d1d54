"""Tallystick: a record neither side can alter alone."""

__version__ = "0.1.0"
