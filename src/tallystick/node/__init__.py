"""Composition root: config, processes, start and stop."""
