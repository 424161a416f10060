"""The stages' commands: python -m worker.cli STAGE."""
