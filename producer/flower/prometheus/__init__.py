"""Prometheus metrics of the ledger, beside Flower's own, for a login or a bearer token."""
