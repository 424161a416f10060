"""What both sides must agree on before a message crosses the wire."""
