"""What a model may call, over a pinned workspace."""
