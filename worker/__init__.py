"""Do: generate, curate, train, evaluate."""
