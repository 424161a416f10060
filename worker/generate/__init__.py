"""Rollouts: an agent with real tools over a pinned workspace, one trajectory a job."""
