"""What a worker shares with the fleet: heartbeat, leases, reconciler, broker messages, shutdown, retry."""
