"""The demo's student and how mlx runs on this machine."""
