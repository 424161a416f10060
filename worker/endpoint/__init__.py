"""The worker's model endpoint: supervision, circuit breaker, model server."""
