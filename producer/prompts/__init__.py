"""Prompts: read from a file, or mined from code."""
