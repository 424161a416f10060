"""The files of an adapter directory."""

from typing import Final

RECORD: Final = "adapter.json"  # the Adapter; written last
RECIPE: Final = "recipe.json"  # dataset, student and hyperparameters
LOG: Final = "train.log"
WEIGHTS: Final = "adapters.safetensors"
MLX_CONFIG: Final = "adapter_config.json"  # what mlx_lm reads beside the weights
