"""Served base and adapter, identity proven, held-out prompts asked, scores reported."""
