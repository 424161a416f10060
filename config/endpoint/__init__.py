"""The HTTP client and health check of a model endpoint."""
