"""How many jobs a worker runs at once, from measured latency."""
