"""The tools that a model may call, over a pinned workspace."""
