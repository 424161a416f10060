"""From trajectories to a dataset: check, render, prove the loss mask, split."""
