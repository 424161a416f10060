"""The findings of one answer: one detector per module, and `findings_of(rollout)`, which runs them all."""
