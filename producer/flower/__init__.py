"""Flower, with authentication always on, on this machine alone by default, and with a Runs page."""
