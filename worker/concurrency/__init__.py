"""Adaptive concurrency: the number of parallel jobs follows measured latency."""
