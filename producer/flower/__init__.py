"""Flower with a Runs page. Authentication is always on, and the default address is loopback."""
