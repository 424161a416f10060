"""The pages of a run's jobs, and the index in memory that answers their questions about 100,000 jobs."""
