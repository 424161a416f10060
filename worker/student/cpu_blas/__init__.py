"""A fast matrix product for mlx on a Linux CPU."""
