"""The local stack: an embedded Redis and its worker processes."""
