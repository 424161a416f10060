"""The stages after generation: curate, train, evaluate."""
