"""Rollouts: an agent with real tools over a pinned workspace. Each job yields one trajectory."""
