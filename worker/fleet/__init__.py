"""A worker in the fleet: heartbeat, leases, reconciler, broker messages, shutdown, retry."""
