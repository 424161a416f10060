"""The accelerator of this machine: who may use it, and what fits into its memory."""
