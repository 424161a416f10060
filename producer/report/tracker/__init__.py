"""MODEL_PERFORMANCE_TRACKER.md: a row for each adapter, what changed since the row before, and regressions."""
